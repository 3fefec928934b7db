"""One-off work on a log. Each module is one command, or work that the server never does.

`verify` checks a log file and its projection, `verify_database` those in a database. `backup` copies a log file, and
`repair` drops what damage has destroyed. `import_events` and `export_events` are for events as lockers send them,
`copy_log` for a whole log with its positions. `deployment` chooses what they work on. May import `infrastructure`,
`core` and `settings`, but not `running`.
"""
