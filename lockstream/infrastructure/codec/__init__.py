"""Codec: bytes to values and back, shared by all stores.

`event_json` reads and writes an event as a locker sends it. `log_line` reads and writes a record as one chained line.
May import `core`.
"""
