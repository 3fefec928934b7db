"""The benchmark and the soak. They run Lockstream and its peers as processes, and are not part of the package.

`python -m bench` measures, shows the figures, and compares them with the goals. `python -m bench.soak` runs one server
under mixed load for half an hour, and judges whether its figures stay the same. `make bench` and `make soak` run them.

Start at `goals`, the table that the benchmark fills. The other modules are:

- `groups` are the measurements, `peers` the programs that Lockstream is compared with, `load` is the load generator.
- `session` is one run, and `scale` its size. `figures` are the results. `report` shows them and writes them into pages.
- `soak` is the soak, and `verdict` judges it.
- `processes` starts servers and commands, `postgres` starts PostgreSQL, `resources` reads CPU time and memory.
- `machine` describes the machine, `page` replaces the generated parts of Markdown pages, `errors` has the exception of
  a failed measurement.

May import `lockstream`, as any program may.
"""
