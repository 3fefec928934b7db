"""The live system: it ingests the events of concurrent requests, and acknowledges events once they are durable.

Start at `lockstream`, the façade. `group_commit` turns concurrent requests into batches, with `ingest_queue`, in which
keys take turns, and an engine decides them: `embedded_engine` on the event loop, `database_engine` in threads.
`durable_position` is the position up to which the log is on disk, with the requests that wait for it. `checkpointer`
brings the embedded projection up to the log. `feed` answers readers of the log, `feed_streams` sends them events as
they come, and `head_watch` lets them wait for the next event. `quarantine` keeps events that were not accepted,
`access` checks API keys and their limits, `silence` finds lockers that were not heard of for long, `nodes` has the list
of nodes, and `telemetry` has the figures of the whole system. `lifecycle` starts and stops the system, and `event_loop`
runs calls from any thread on one event loop. May import `infrastructure`, `core` and `settings`, but not `commands`.

| thread                | started by                 | stopped by             | may touch                            |
| --------------------- | -------------------------- | ---------------------- | ------------------------------------ |
| the server's loop     | the server                 | the server             | everything else                      |
| lockstream-loop       | `LoopRunner`, if no server | `LoopRunner.stop`      | everything else                      |
| asyncio's executor    | `asyncio.to_thread`        | end of the event loop  | the text of a large batch            |
| lockstream-list       | `EmbeddedEngine`           | `EmbeddedEngine.close` | reading connections of SQLite        |
| lockstream-disk       | `EmbeddedEngine`           | `EmbeddedEngine.close` | the free space of the disk           |
| lockstream-feed       | both engines               | `close` of the engine  | the durable part of the log          |
| lockstream-start      | `BackgroundStart`          | end of the startup     | the store, until it is handed over   |
| lockstream-flush      | `LogWriter`                | `LogWriter.close`      | fdatasync of the log file            |
| lockstream-checkpoint | `Checkpointer`             | `Checkpointer.close`   | a change set, the writing connection |
| lockstream-compact    | `Compactor`                | `Compactor.close`      | a compaction, run files              |
| lockstream-quarantine | `Quarantine`               | `Quarantine.close`     | the store of the quarantine          |
| lockstream-access     | `Access`                   | `Access.close`         | the keys, which it reads             |
| lockstream-audit      | `Access`                   | `Access.close`         | audit entries, the last use of keys  |
| lockstream-nodes      | `Heartbeat`                | `Heartbeat.close`      | a session of its own                 |
| lockstream-decide     | `DatabaseEngine`           | `DatabaseEngine.close` | PostgreSQL's writing session         |
| lockstream-read       | `DatabaseEngine`           | `DatabaseEngine.close` | PostgreSQL's pool of readers         |
| lockstream-probe      | `PostgresLog`              | `PostgresLog.close`    | a session of its own                 |
"""
