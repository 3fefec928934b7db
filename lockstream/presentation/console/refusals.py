"""The codes of the quarantine: what each means, and what to do. docs/quarantine.md has the same sentences."""

from typing import Final, NamedTuple


class CodeText(NamedTuple):
    """The texts about one code."""

    meaning: str
    remedy: str


CODE_TEXTS: Final = {
    "unknown_compartment": CodeText(
        "The compartment was never registered, or its registration comes later.",
        "Send the missing CompartmentRegistered, then resubmit; a locker that is not yours: discard.",
    ),
    "unknown_reservation": CodeText(
        "The reservation was never created, or its creation comes later.",
        "Find its ReservationCreated, then resubmit.",
    ),
    "reservation_mismatch": CodeText(
        "The reservation belongs to another compartment, or locker.",
        "The device, or the program that names the compartment, is wrong: correct it, send the event under a "
        "new id, discard this one.",
    ),
    "compartment_already_registered": CodeText(
        "The compartment is registered under another event id.",
        "Discard.",
    ),
    "reservation_already_exists": CodeText(
        "A reservation id was used twice.",
        "Two programs choose ids alike: correct that, discard.",
    ),
    "compartment_degraded": CodeText(
        "The compartment has an open fault of severity 3 or more.",
        "Clear the fault, then resubmit; or reserve another compartment and discard.",
    ),
    "compartment_reserved": CodeText(
        "The compartment still has an active reservation.",
        "Its pick-up or expiry is missing: find it, then resubmit.",
    ),
    "reservation_not_awaiting_deposit": CodeText(
        "The parcel was deposited before, or the reservation has ended.",
        "Often reported under two ids: discard. A deposit that came after the expiry of its reservation stays refused "
        "for ever: look for the parcel, note the reason and discard.",
    ),
    "reservation_expired": CodeText(
        "A pick-up after the expiry.",
        "The parcel is gone: note the reason and discard; look at the clock of the locker.",
    ),
    "reservation_not_awaiting_pickup": CodeText(
        "No parcel lies in the compartment, as far as the ledger knows.",
        "The deposit is missing: find it, then resubmit; a second pick-up: discard.",
    ),
    "reservation_final": CodeText(
        "The reservation has already ended.",
        "Discard.",
    ),
    "unknown_fault": CodeText(
        "The fault was never reported, or its report comes later.",
        "Find its FaultReported, then resubmit.",
    ),
    "fault_mismatch": CodeText(
        "The fault belongs to another compartment.",
        "Correct the program, discard.",
    ),
    "fault_already_cleared": CodeText(
        "The fault was cleared under another event id.",
        "Discard.",
    ),
    "event_id_reused": CodeText(
        "Two devices use one id, or a device sends other content under an old id.",
        "Find the devices: one of their facts is not in the log. If it happened, send it under an id of its "
        "own; then discard.",
    ),
}
"""The texts by code."""
