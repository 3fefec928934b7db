"""Traces: opened if the settings ask for them. Without them, OpenTelemetry's SDK is not even imported."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from lockstream.core.errors import StartRefused
from lockstream.settings import Settings

if TYPE_CHECKING:
    from lockstream.services.running.telemetry.traces.spans import Tracing

REQUIRED = "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"
"""Packages of the extra `otel`."""


def open_tracing(settings: Settings) -> "Tracing | None":
    """Return the traces of a system, to be closed, or None if they are off.

    Raises:
        StartRefused: the extra `otel` is not installed, or a variable `OTEL_*` has a value that cannot be used.
    """
    if settings.traces == "off":
        return None
    if not all(map(_is_installed, REQUIRED)):
        raise StartRefused(
            "LOCKSTREAM_TRACES is on, but OpenTelemetry is not installed. Run `pip install '.[otel]'` in the folder of "
            "Lockstream's source, or set LOCKSTREAM_TRACES=off."
        )
    from lockstream.services.running.telemetry.traces.spans import exported_tracing  # noqa: PLC0415

    try:
        return exported_tracing()
    except ValueError as error:
        raise StartRefused(
            f"The traces cannot be exported: {str(error).rstrip('.')}. Correct the variables OTEL_*."
        ) from error


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # a parent of the package is missing
        return False
