"""The live system: concurrent requests in, durable answers out.

Start at `lockstream`, the façade. `group_commit` turns concurrent requests into batches, and an engine decides them:
`embedded_engine` on the event loop, `database_engine` in threads. `durable_position` is the position up to which the
log is on disk, with its waiters. `checkpointer` brings the embedded projection up to the log. `lifecycle` starts and
stops the system, and `event_loop` lets any thread use it.

| thread                | started by                 | stopped by             | may touch                            |
| --------------------- | -------------------------- | ---------------------- | ------------------------------------ |
| the event loop        | the server or `LoopRunner` | the server or `close`  | everything else                      |
| lockstream-start      | `BackgroundStart`          | end of the startup     | the store, until it is handed over   |
| lockstream-flush      | `LogWriter`                | `LogWriter.close`      | fdatasync of the log file            |
| lockstream-checkpoint | `Checkpointer`             | `Checkpointer.close`   | a change set, the writing connection |
| lockstream-compact    | `Compactor`                | `Compactor.close`      | a compaction, run files              |
| lockstream-decide     | `DatabaseEngine`           | `DatabaseEngine.close` | PostgreSQL's writing session         |
| lockstream-read       | `DatabaseEngine`           | `DatabaseEngine.close` | PostgreSQL's pool of readers         |
| lockstream-probe      | `PostgresLog`              | `PostgresLog.close`    | a session of its own                 |
"""
