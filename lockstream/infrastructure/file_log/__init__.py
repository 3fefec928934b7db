"""The log as a file: one chained line an event.

Start at `writer`, which appends and flushes. `flush_thread` flushes beside the event loop, and `free_space` notices a
full disk. `reader` reads from a cursor, by position and backwards, and `line_search` finds the line of a position.
`recovery` repairs the tail at start. May import `core`, `codec` and `fs`, but neither `sqlite` nor `postgres`.
"""
