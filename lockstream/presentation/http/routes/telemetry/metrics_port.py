"""The application of `LOCKSTREAM_METRICS_PORT`: `/metrics` without an API key, and nothing else."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lockstream.presentation.http.access.security_headers import secure
from lockstream.presentation.http.errors import error_response
from lockstream.presentation.http.routes.telemetry.metrics import metrics_response
from lockstream.services.running.lifecycle import Lifecycle
from lockstream.services.running.telemetry.metrics.collector import MetricsCollector


def metrics_app(lifecycle: Lifecycle, metrics: MetricsCollector) -> ASGIApp:
    """Return an application that serves the metrics of a system, and neither starts nor stops the system."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await _respond(request, lifecycle, metrics)
        except Exception as error:  # noqa: BLE001  # every error has its response
            response = error_response(request, error)
        secure(response, scope, needs_key=False)
        await response(scope, receive, send)

    return answer


async def _respond(request: Request, lifecycle: Lifecycle, metrics: MetricsCollector) -> Response:
    if request.url.path != "/metrics":
        raise HTTPException(404)
    if request.method not in ("GET", "HEAD"):
        raise HTTPException(405, headers={"Allow": "GET"})
    return await metrics_response(request, lifecycle.running or lifecycle.lockstream(), metrics)
