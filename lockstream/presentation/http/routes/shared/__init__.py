"""The shared parts of operations that show or change the state, the quarantine or the keys.

`reads` answers with one subject, now or in the past. `pages` is the form of the pages of any list, and `lists` answers
with pages of the state at one position. `json_bodies` reads request bodies that are JSON objects.
"""
