"""The metrics of the server, for Prometheus."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import exposition
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from lockstream.presentation.http.access.scopes import SCOPES
from lockstream.presentation.http.access.views import lockstream_of
from lockstream.presentation.http.errors import HEADERS_TOO_LARGE, INTERNAL, NOT_ACCEPTABLE, UNAVAILABLE
from lockstream.presentation.http.media_types import OPENMETRICS, TEXT, negotiate
from lockstream.presentation.http.routes.operations import CONSOLE
from lockstream.services.running.lockstream import Lockstream
from lockstream.services.running.telemetry.metrics.collector import MetricsCollector

router = APIRouter(tags=["telemetry"])

_FORMS: dict[str, tuple[str, Callable[[Collector], bytes]]] = {
    TEXT: (exposition.CONTENT_TYPE_PLAIN_0_0_4, exposition.generate_latest),
    OPENMETRICS: (openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest),
}
"""The content type and the encoder of each media type."""

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The metrics of this process and of the network. docs/metrics.md lists them.",
        "content": {
            TEXT: {"schema": {"type": "string"}, "example": "# TYPE lockstream_ready gauge\nlockstream_ready 1.0\n"},
            OPENMETRICS: {
                "schema": {"type": "string"},
                "example": "# TYPE lockstream_ready gauge\nlockstream_ready 1.0\n# EOF\n",
            },
        },
        "headers": {
            "Vary": {"description": "`Accept`, which chooses the media type.", "schema": {"type": "string"}},
        },
    },
    406: NOT_ACCEPTABLE | {"description": "Accept names neither the text format of Prometheus nor OpenMetrics."},
    431: HEADERS_TOO_LARGE,
    500: INTERNAL,
    503: UNAVAILABLE | {"description": "The server is starting or stopping."},
}


@router.get("/metrics", response_model=None, response_class=Response, responses=_RESPONSES)
async def get_metrics(request: Request) -> Response:
    """The metrics, in the text format of Prometheus or as OpenMetrics, as `Accept` prefers.

    A key that is bound to lockers gets 403: the metrics are about the whole network.
    """
    return await metrics_response(request, lockstream_of(request), request.app.metrics)


async def metrics_response(request: Request, lockstream: Lockstream, metrics: MetricsCollector) -> Response:
    """Return the metrics in the media type that a request prefers. Raises NotAcceptable if it accepts none."""
    content_type, encode = _FORMS[negotiate(request, (TEXT, OPENMETRICS))]
    families = await metrics.collect(lockstream)
    body = await asyncio.to_thread(encode, _Families(families))
    return Response(body, headers={"Content-Type": content_type, "Vary": "Accept"})


def groups_of_operations() -> dict[str, str]:
    """Return the group of each operation whose duration is measured: all but the feed, whose requests may wait."""
    groups = {"post_event": "post_event", "post_batch": "post_batch", "get_metrics": "other"}
    for operation, scope in SCOPES.items():
        if scope != "feed":
            groups.setdefault(operation, "read" if scope == "read" else "other")
    return groups


def labels_of_operations() -> dict[str, str]:
    """Return the labels of operations for the counts of requests: the name, or `read` for all operations that read."""
    named = "post_event", "post_batch", "get_live", "get_ready", "get_metrics", CONSOLE.name
    reads = (operation for operation, scope in SCOPES.items() if scope in ("read", "feed"))
    return dict.fromkeys(reads, "read") | {operation: operation for operation in named}


class _Families(Collector):
    """A collector of families that are already built, as the encoders of Prometheus expect."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
