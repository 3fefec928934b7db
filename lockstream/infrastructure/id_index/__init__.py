"""The id index: all ids that were ever used, as a log-structured merge tree.

Start at `index`, which has the memtable and the lookup. `sorted_run` is the immutable run file, and `compactor` merges
memtable and run file in the background (docs/decisions/0012). `prefix_search` finds event ids by their beginning. May
import `core` and `fs`, but neither the log nor a database.
"""
