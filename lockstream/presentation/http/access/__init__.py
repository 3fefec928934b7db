"""Access control over HTTP: callers, their keys and their limits.

Start at `callers`: the caller of a request, as the check of its key has found it. `rate_limits` refuses requests and
events beyond the limits of a key. `views` limits the running system to the lockers of the caller.
"""
