"""The log as a file: one chained line an event.

`writer` appends and flushes, with `flush_thread` for flushes beside the event loop and `free_space` for a full disk.
`reader` reads from a cursor, by position and backwards. `recovery` repairs the tail at start.
May import `core`, `codec` and `fs`. It imports neither `sqlite` nor `postgres`.
"""
