"""The measurements. A module measures the goals that need the same setup, and its `measure` returns their figures.

Start at `plans`, the loads that several groups use, then `throughput`, which shows the pattern: contestants, turns,
figures. `sustained`, `single_client`, `slow_disk` and `reads` are further loads on one server with an empty log.
`quarantine`, `keys` and `metrics` compare a server with one without them. `memory` writes the big log, and `big_log`,
`start` and `feed` use it. `lists` reads a network of a million compartments, and `console` the pages about it.
`rebuild` times a command, and `nodes` several servers on one PostgreSQL. May import every other part of `bench`.
"""
