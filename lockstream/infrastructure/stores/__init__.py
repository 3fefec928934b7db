"""The stores: a locker network's log and projection on one engine. Only these modules know all of the above.

`embedded` is the log in a file with SQLite beside it, `postgres` is many nodes on one database, and `memory` lives in
lists and dicts, for tests and for `verify`. `unit_of_work` is the batch of the stores that own their log.
"""
