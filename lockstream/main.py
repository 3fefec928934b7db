"""`app`, for any ASGI server. `lockstream serve` runs it on the server that comes with Lockstream."""

from lockstream.presentation.app import create_app
from lockstream.services.wiring import Settings, open_lockstream

app = create_app(lambda: open_lockstream(Settings()))
