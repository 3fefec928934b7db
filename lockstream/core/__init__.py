"""The domain: plain values and pure functions, without I/O and without a framework.

Start at `rules`, which decides whether an event may happen. `evolve` applies an accepted event, `read_set` names the
rows that an event needs, `use_cases/ingest` puts the three together, and `use_cases/catch_up` replays a log.
`ports` are the interfaces that infrastructure implements, and `errors` is the one tree of exceptions.
May import nothing else of this package.
"""
