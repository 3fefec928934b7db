"""The quarantine of all nodes, in tables beside the log's.

Start at `store`, which reads and writes; `statements` is the SQL. May import `core` and the modules of `postgres`.
"""
