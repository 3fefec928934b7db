"""The use cases of the core.

Start at `ingest`, which decides a batch of events. `catch_up` replays a log into a projection. May import nothing but
`core`.
"""
