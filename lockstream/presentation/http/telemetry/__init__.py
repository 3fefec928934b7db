"""Telemetry over HTTP: request ids, the access log, and the spans of requests.

Start at `exchanges`, which notes each request with its response, if the settings ask for the access log or traces.
`access_log` writes one line per request, and `request_ids` returns the headers by which a client finds its request in
the logs. May import `services` and `core`.
"""
