"""`app`, for any ASGI server. `lockstream serve` runs it on the server that comes with Lockstream."""

from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings

app = create_app(lambda: deployment_of(Settings()).start())
