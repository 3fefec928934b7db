"""The load generator, a process of its own, so that the server and its clients do not share a core's time.

Start at `plan`, which says what to send. `events` writes what lockers report, and `http` frames requests and reads
responses. `client` sends them over many connections, at a fixed rate or as fast as responses arrive, and notes
latencies. `generator` is the process that puts these together, and `process` starts it and returns its result.
"""
