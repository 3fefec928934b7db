"""The running system: its positions, lags and limits, and its problems with their remedies."""

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import SecretStr

from lockstream.presentation.http.access.views import lockstream_of
from lockstream.presentation.http.errors import UNAVAILABLE
from lockstream.presentation.http.json_response import EncodedJson
from lockstream.presentation.http.query_parameters import QueryParameters
from lockstream.presentation.http.routes.shared.reads import WRONG_QUERY, responses_of, responses_without_position
from lockstream.schemas.figures import SystemNode, SystemProblem, SystemQuarantine, SystemStatus, SystemStorage
from lockstream.schemas.listings import encode_json
from lockstream.services.running.telemetry.figures import SystemFigures
from lockstream.services.running.telemetry.problems import problems
from lockstream.settings import LIMITS, OPERATION, QUARANTINE, Settings, environment_variable

router = APIRouter(tags=["network"])

_NO_PARAMETERS = QueryParameters()
_SHOWN_GROUPS = LIMITS, QUARANTINE, OPERATION

_EXAMPLE = SystemStatus(
    version="1.0.0",
    started_at="2026-11-23T06:00:00.000000Z",
    unavailable_reason=None,
    problems=[
        SystemProblem(
            "disk_nearly_full",
            False,
            "The disk of the log has only 412,000,000 bytes free.",
            "Free some space, or move the log to a larger disk. Below 104,857,600 bytes, no event is accepted.",
            "a-full-disk",
        )
    ],
    storage=SystemStorage(
        kind="file",
        log_name="/var/lib/lockstream/event_log.jsonl",
        log_id="9f86d081884c7d65",
        appended_position=81204,
        durable_position=81204,
        head=81204,
        projection_position=81190,
        projection_lag=14,
        projection_lag_seconds=0.4,
        log_bytes=26_300_000,
        projection_bytes=31_000_000,
        disk_free_bytes=412_000_000,
        events_a_day=9_120.0,
        log_failure=None,
        projection_failure=None,
        replica_position=None,
        replica_lag_seconds=None,
        replica_failure=None,
    ),
    nodes=[
        SystemNode(
            node_id="0190a5e0-0000-4000-8000-0000000000a1",
            name="locker-host:8000",
            process_id=4711,
            version="1.0.0",
            started_at="2026-11-23T06:00:00.000000Z",
            heard_at="2026-11-23T08:15:00.000000Z",
            position=81204,
            state="ready",
            unavailable_reason=None,
            is_this=True,
        )
    ],
    quarantine=SystemQuarantine(
        open_by_code={"unknown_reservation": 3}, discarded=1, entries=4, limit=50_000, dropped=0, is_behind=False
    ),
    min_free_bytes=104_857_600,
    days_left=47.6,
    events_waiting=0,
    queue_limit=20_000,
    open_streams=2,
    stream_limit=1_000,
    failing_keys=[],
    missing=[],
    settings={"LOCKSTREAM_QUEUE_LIMIT": "20000", "LOCKSTREAM_EVENTS_PER_SECOND": None},
)

_FAILED = UNAVAILABLE | {"description": "The system is starting or stopping, or cannot be read now; try again later."}


@router.get(
    "/system",
    response_model=None,
    responses=responses_of(
        _EXAMPLE,
        "The state of the system. This example has two of its settings.",
        {422: WRONG_QUERY},
        responses_without_position(_FAILED),
    ),
)
async def get_system(request: Request) -> Response:
    """The node that answers, its storage and all nodes: positions, lags, limits, and problems with their remedies.

    The node answers even while events are refused.
    """
    _NO_PARAMETERS.parse(request)
    lockstream = lockstream_of(request)
    return EncodedJson(encode_json(_status(await lockstream.figures(), lockstream.settings)))


def _status(figures: SystemFigures, settings: Settings) -> SystemStatus:
    storage, quarantine = figures.storage, figures.quarantine
    return SystemStatus(
        version=figures.version,
        started_at=figures.started_at,
        unavailable_reason=figures.unavailable_reason,
        problems=msgspec.convert(problems(figures), list[SystemProblem], from_attributes=True),
        storage=msgspec.convert(storage, SystemStorage, from_attributes=True),
        nodes=msgspec.convert(figures.nodes, list[SystemNode] | None, from_attributes=True),
        quarantine=msgspec.convert(quarantine, SystemQuarantine | None, from_attributes=True),
        min_free_bytes=figures.min_free_bytes,
        days_left=figures.days_left,
        events_waiting=figures.events_waiting,
        queue_limit=figures.queue_limit,
        open_streams=figures.open_streams,
        stream_limit=figures.stream_limit,
        failing_keys=list(figures.failing_keys),
        missing=list(figures.missing),
        settings=_shown_settings(settings),
    )


def _shown_settings(settings: Settings) -> dict[str, str | None]:
    """Return limits and other settings that explain the behaviour of the system, without secrets and paths."""
    shown: dict[str, str | None] = {}
    for name, field in Settings.model_fields.items():
        extra, value = field.json_schema_extra, getattr(settings, name)
        if isinstance(extra, dict) and extra.get("group") in _SHOWN_GROUPS and not isinstance(value, SecretStr):
            shown[environment_variable(name, field)] = None if value is None else str(value)
    return shown
