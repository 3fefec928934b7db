"""The application `app`, for any ASGI server. `lockstream serve` builds its own application and server."""

from lockstream.presentation.console.entry import make_console
from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings

app = create_app(lambda: deployment_of(Settings()).start(), make_console=make_console)
