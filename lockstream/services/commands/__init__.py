"""One-off work on a log: each module is one command, or one that the server never runs.

`verify` checks a log and its projection, `backup` copies a log file, `repair` drops what damage has destroyed.
`import_events` and `export_events` are for events as lockers send them, `copy_log` for a whole log with its positions.
`deployment` chooses what they work on. May import `infrastructure`, `core` and `settings`, but not `running`.
"""
