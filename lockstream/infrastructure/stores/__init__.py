"""The stores: the log and the projection of a locker network, on one engine.

Start at `embedded`: the log in a file, with SQLite beside it. `postgres` is many nodes on one database. `memory` keeps
everything in lists and dicts, with the lists of `memory_listings`, for tests. `unit_of_work` is one batch of the stores
that own their log. May import all of `infrastructure`; no other part of it imports `stores`.
"""
