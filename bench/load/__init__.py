"""The load generator, a process of its own, so that clients and server do not share one core.

Start at `plan`, which describes a load. `http` frames requests and reads responses. `client` sends requests over many
connections, at a fixed rate or as fast as responses arrive, and notes latencies. `generator` is the program of the
process, and `process` starts it and returns its result.

`followers` are readers of the feed: one that catches up, and many streams.

`forms` has the JSON text of each event type. `events` makes the events of small lockers, and `network` the events of a
network whose lists are read. `readers` chooses paths to read about this network, and `paging` finds pages of its lists.
May import `figures`, `errors`, `processes` and `resources`, but not `lockstream`.
"""
