"""The peers that Lockstream is compared with. Each module is a program of its own, run as `python -m bench.peers.…`.

`asgi_apps` are applications that do nothing, on Lockstream's server. `eventsourcing_package`, `postgres_inserts`,
`log_decoder` and `disk` do a part of Lockstream's work without HTTP, and print or are timed as a command.
`canned_server` serves to measure the load generator alone.
"""
