"""The benchmark and the soak. They run Lockstream and its peers as processes, and are not part of the package.

`python -m bench` measures, shows the figures and holds them to goals. `python -m bench.soak` runs one server under
mixed load for half an hour, and judges whether its figures stay the same. `make bench` and `make soak` start them.

Start at `goals`, the table that the benchmark fills. `groups` are the measurements, `peers` the programs that
Lockstream is compared with, and `load` is the load generator. `session` is one run, at a `scale`, and `figures` are its
results, which `report` shows and writes into pages. `soak` is the soak, and `verdict` judges it.

`processes` starts servers and commands, `postgres` a PostgreSQL, and `resources` reads their CPU time and memory.
`machine` describes the machine, `page` replaces the generated parts of Markdown pages, and `errors` has the error of a
measurement. May import `lockstream`, as any program may.
"""
