"""Infrastructure: the storage of events and state.

Start at `stores`, which combine the other parts:

- `file_log` is the log in a file, `id_index` answers whether an id was ever used, and `sqlite` is the embedded
  projection with its row cache.
- `postgres` is the log and the projection in a database. `access` keeps API keys and the audit log in files.
- `rows` declares the projection's tables for both engines, `codec` encodes events and log lines, `fs` calls the file
  system, and `telemetry` counts.

Imports point down: `stores → sqlite | postgres → file_log | id_index | access → rows | codec | fs | telemetry → core,
settings`.
"""
