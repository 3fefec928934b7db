"""Infrastructure: how events and state are kept.

`file_log` is the log in a file, `id_index` knows which ids were ever used, `sqlite` is the embedded projection with its
row cache, and `postgres` is log and projection in a database. `rows` has the projection's shape for both engines,
`codec` the form of events and log lines, and `fs` the calls of the file system. `stores` put these together.

Imports point down: `stores → sqlite | postgres → file_log | id_index → rows | codec | fs → core, settings`.
"""
