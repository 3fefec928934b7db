"""The shared parts of operations that answer with something kept.

`reads` answers with one subject, now or in the past. `pages` is the form of the pages of any list, and `lists` answers
with pages of the state at one position. `json_bodies` reads the bodies of requests that change something kept.
"""
