"""One-off work on a log, which the server never does. Nearly every module is one command.

Start at `verify`, which checks a log file and its projection; `verify_database` checks a log in a database,
and `verify_quarantine` and `verify_access` the files beside a log. `replay` is the temporary projection with which
`verify` compares the one of a log. `backup` copies a log file and the files beside it,
and `repair` drops the damaged end of a log. `list_rows` lists the present state. `import_events` and `export_events`
are for events as lockers send them, `copy_log` for a whole log with its positions. `record_history` writes the log of a
simulated past. May import `infrastructure`, `core` and `settings`, but not `running`.
"""
