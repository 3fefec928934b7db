"""The shape of the projection, shared by SQLite and PostgreSQL.

Start at `tables`, which declares the tables. `mapping` converts a database row to a value, `reads` has the queries of
one subject, `listings` those of lists with the statements of `listing_statements`, which `statements` makes by
subject. `silence` has the conditions that a locker is silent, and `prepared` is a statement compiled once. `comparison`
compares two projections row by row. May import `core`.
"""
