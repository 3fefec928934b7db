"""Infrastructure: the storage of events and state.

`file_log` is the log in a file, `id_index` answers whether an id was ever used, and `sqlite` is the embedded projection
with its row cache. `postgres` is log and projection in a database. `rows` has the projection's tables for both engines,
`codec` the form of events and log lines, and `fs` the calls of the file system. `stores` combine them.

Imports point down: `stores → sqlite | postgres → file_log | id_index → rows | codec | fs → core, settings`.
"""
