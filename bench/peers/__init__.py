"""The peers that Lockstream is compared with. Each module is a program of its own, run as `python -m bench.peers.…`.

`asgi_apps` are applications that do nothing. `eventsourcing_service` and `first_version` accept the same events by the
same rules, and share the routes of `event_api`. Start at `serving`, which runs all of these on Lockstream's own server.

`eventsourcing_package`, `postgres_inserts`, `log_decoder` and `disk` do a part of Lockstream's work without HTTP. They
print their figures, or are timed as commands. `canned_server` serves to measure the load generator alone.
`unmetered` is Lockstream without its metrics.

May import `figures`, `resources`, the plans and events of `load`, and the parts of `lockstream` that a peer shares.
"""
