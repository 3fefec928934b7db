"""Telemetry over HTTP: request ids, the access log, and the spans of requests.

Start at `exchanges`, which notes how a request was answered if the settings ask for it. `access_log` writes its line,
and `request_ids` takes over the headers by which a client finds its request again. May import `services` and `core`.
"""
