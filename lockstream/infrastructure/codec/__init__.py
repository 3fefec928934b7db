"""The codec: events and log lines as bytes and as values, for all stores.

Start at `event_json`, which reads and writes an event as a locker sends it. `log_line` reads and writes a record of the
log as one chained line, and `line_filter` selects lines for a reader of the feed. May import `core`.
"""
