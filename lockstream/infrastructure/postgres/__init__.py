"""Many nodes on one PostgreSQL database: the log is a table, and projection and log commit in one transaction.

Start at `unit_of_work`, one batch under the write lock. `statements` and `row_lookup` are the SQL of a batch, and `log`
reads the log and probes the database. `connection` has pools, timeouts and retries, `pipeline` psycopg's private parts.
`reads` has the reads of one subject, and `listings` those of lists. `shadow_tables` rebuilds the projection beside
running nodes, and `snapshot` shows one moment to `verify`. `log_import` imports a full export, and `migrate` creates
and upgrades the tables. `quarantine` keeps events that were not accepted, in tables of its own, and `nodes` the list of
nodes. May import `core`, `rows`, `codec`, `settings` and `compatibility`, but neither `sqlite` nor `file_log`.
"""
