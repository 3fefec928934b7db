"""The embedded projection: SQLite, with a write-back row cache over it.

`projection` reads and writes rows, `row_cache` keeps them in memory, `checkpoint` moves changed rows from the cache to
the projection. `overlay_reads` reads the projection with the cache over it, and `database` has connections and pragmas.
May import `core`, `rows`, `id_index` and `fs`.
"""
