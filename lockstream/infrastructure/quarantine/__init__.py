"""The quarantine of the embedded store: a file of its own beside the log, with all entries in memory.

Start at `store`. `entries` keeps the bounds and divides the room fairly, `journal` is the file, and `lines` its format.
May import `core`, `fs` and `codec`.
"""
