"""The load generator, a process of its own, so that the server and its clients do not share a core's time.

Start at `plan`, which describes a load. `events` writes events as JSON, and `http` frames requests and reads responses.
`client` sends requests over many connections, at a fixed rate or as fast as responses arrive, and notes latencies.
`generator` is the program of the process, and `process` starts it and returns its result.
May import `figures`, `errors`, `processes` and `resources`, but not `lockstream`.
"""
