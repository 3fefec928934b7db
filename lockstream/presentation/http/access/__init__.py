"""Access control over HTTP: callers and their keys.

Start at `callers`: the caller of a request, as the check of its key has found it. `views` limits the running system to
the lockers of the caller.
"""
