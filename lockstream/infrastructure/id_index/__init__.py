"""The id index: all ids that were ever used, as a log-structured merge tree.

`index` has the memtable and the lookup, `sorted_run` the immutable file, `compactor` merges both in the background
(docs/decisions/0012). May import `core` and `fs`. It reads neither the log nor a database.
"""
