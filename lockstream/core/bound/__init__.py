"""Reads of a caller whose key is bound to lockers: all other lockers are absent, as if they did not exist.

Start at `reads`, which implements `ports.Reads` over any store's. `listings` implements `ports.Listings`, with `pages`
to merge and to search rows, and `locker_ranges` for the patterns of a key. May import nothing but `core`.
"""
