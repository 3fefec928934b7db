"""The nodes that share the work: this process alone, or all nodes on its database.

Start at `node_list`, which `GET /system` shows. `heartbeat` keeps this node in the list of the database. May import
`telemetry` of `running`, `infrastructure`, `core` and `settings`.
"""
