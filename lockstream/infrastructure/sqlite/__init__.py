"""The embedded projection: SQLite, with a write-back row cache over it.

Start at `cached_projection`, which puts the others together. `projection` reads and writes rows, `row_cache` keeps them
in memory, and `checkpoint` moves changed rows from the cache to the projection. `overlay_reads` reads the projection
with the cache over it, `listings` reads lists from the projection alone, with `event_search` for events.
`snapshot_gate` lets a checkpoint wait for a moment without lists, and `database` has connections and pragmas.
`projection_scan` reads all rows in order, and `used_ids` sorts ids, both for `verify`. May import `core`, `rows`,
`id_index` and `fs`.
"""
