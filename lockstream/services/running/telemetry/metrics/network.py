"""Metric families of the locker network itself."""

from collections.abc import Iterable

from msgspec import Struct
from prometheus_client.core import Metric

from lockstream.core.entities.listings import Activity, NetworkTotals
from lockstream.core.entities.log import SECOND, present_time
from lockstream.core.entities.state import DEGRADING_SEVERITY
from lockstream.core.ports import Listings
from lockstream.core.use_cases.silent_lockers import SilentLockers
from lockstream.services.running.telemetry.growth import DAY
from lockstream.services.running.telemetry.metrics.forms import gauge, gauges

HOUR = 3_600 * SECOND
"""Microseconds within which a locker counts as active if it has reported an event."""


class NetworkFigures(Struct, frozen=True):
    """The figures of the network at one position."""

    totals: NetworkTotals
    activity: Activity


def network_figures(listings: Listings, overdue_days: float) -> NetworkFigures:
    """Return the figures of the network. A parcel is overdue `overdue_days` after its deposit."""
    now = present_time()
    since = listings.position_at(now - HOUR) + 1
    through = listings.position_at(now - int(overdue_days * DAY))
    return NetworkFigures(listings.network(), listings.activity(since, through))


def network_families(network: NetworkFigures) -> Iterable[Metric]:
    """Yield the metric families of the network."""
    totals, activity = network.totals, network.activity
    degrading = sum(count for severity, count in totals.open_faults.items() if severity >= DEGRADING_SEVERITY)
    states = {name: getattr(totals, name) for name in ("available", "reserved", "occupied", "degraded")}
    faults = {"true": degrading, "false": sum(totals.open_faults.values()) - degrading}
    yield from gauge("lockstream_network_lockers", "Lockers.", totals.lockers)
    yield from gauge("lockstream_network_active_lockers", "Lockers heard of in the last hour.", activity.active_lockers)
    yield from gauge("lockstream_network_compartments", "Compartments.", totals.compartments)
    yield from gauges(
        "lockstream_network_compartments_in_state", "Compartments by state; degraded overlaps.", "state", states
    )
    yield from gauges("lockstream_network_open_faults", "Open faults.", "degrading", faults)
    yield from gauge("lockstream_network_overdue_parcels", "Parcels not picked up in time.", activity.old_deposits)


def silence_families(lockers: SilentLockers) -> Iterable[Metric]:
    """Yield the metric families of lockers that were not heard of for long."""
    yield from gauge("lockstream_network_silent_lockers", "Lockers silent for longer than usual.", lockers.silent)
    yield from gauge("lockstream_network_gone_lockers", "Lockers silent for too long to be waited for.", lockers.gone)
