"""`POST /events` as in FastAPI's tutorial: a pydantic body for each event type, and a route in FastAPI's thread pool.

The peers that accept real events share this API, so they differ in their storage only. Malformed events get 422 from
FastAPI itself. Every other event gets the status of docs/rules.md.
"""

from collections.abc import Callable
from typing import Annotated, Literal, cast
from uuid import UUID

import msgspec
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt, StringConstraints

from lockstream.core.entities.events import Event, JsonText
from lockstream.core.entities.fields import IDENTIFIER, IDENTIFIER_MAX, SEVERITY_MAX
from lockstream.core.outcomes import Refusal, RefusalKind

type PeerOutcome = Literal["accepted", "duplicate"] | Refusal

_STATUS = {"accepted": 202, "duplicate": 200}
_REFUSED_STATUS = {RefusalKind.UNRESOLVED: 422, RefusalKind.CONFLICT: 409}

_Identifier = Annotated[str, StringConstraints(min_length=1, max_length=IDENTIFIER_MAX, pattern=f"^{IDENTIFIER}$")]


class _CompartmentPayload(BaseModel):
    model_config = ConfigDict(extra="allow")

    compartment_id: _Identifier


class _NewReservationPayload(_CompartmentPayload):
    reservation_id: _Identifier


class _ReservationPayload(BaseModel):
    model_config = ConfigDict(extra="allow")

    reservation_id: _Identifier
    compartment_id: _Identifier | None = None


class _FaultPayload(_CompartmentPayload):
    severity: Annotated[StrictInt, Field(ge=0, le=SEVERITY_MAX)]


class _FaultClearedPayload(_CompartmentPayload):
    fault_event_id: UUID


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid")

    event_id: UUID
    occurred_at: AwareDatetime
    locker_id: _Identifier


class _CompartmentRegistered(_Envelope):
    type: Literal["CompartmentRegistered"]
    payload: _CompartmentPayload


class _ReservationCreated(_Envelope):
    type: Literal["ReservationCreated"]
    payload: _NewReservationPayload


class _ReservationChanged(_Envelope):
    type: Literal["ParcelDeposited", "ParcelPickedUp", "ReservationExpired"]
    payload: _ReservationPayload


class _FaultReported(_Envelope):
    type: Literal["FaultReported"]
    payload: _FaultPayload


class _FaultCleared(_Envelope):
    type: Literal["FaultCleared"]
    payload: _FaultClearedPayload


type _Body = Annotated[
    _CompartmentRegistered | _ReservationCreated | _ReservationChanged | _FaultReported | _FaultCleared,
    Field(discriminator="type"),
]


def create_app(ingest: Callable[[Event], PeerOutcome]) -> FastAPI:
    """Return an application that answers each event by the outcome of `ingest`, which several threads may call."""
    app = FastAPI()

    @app.post("/events", status_code=202)
    def post_event(body: _Body) -> JSONResponse:
        event = _event_of(body)
        outcome = ingest(event)
        if isinstance(outcome, Refusal):
            content = {"detail": outcome.explain(event), "code": outcome.code}
            return JSONResponse(content, _REFUSED_STATUS[outcome.kind])
        return JSONResponse({"event_id": event.event_id, "status": outcome}, _STATUS[outcome])

    return app


def _event_of(body: _Body) -> Event:
    payload = body.payload.model_dump_json(exclude_unset=True)
    envelope = body.model_dump(mode="json", exclude={"payload"})
    event = msgspec.convert(envelope | {"payload": msgspec.json.decode(payload)}, Event.__value__)
    return cast(Event, msgspec.structs.replace(event, payload_text=JsonText(payload.encode())))
