"""Access control over HTTP: callers, their keys and their limits.

Start at `callers`: the caller of a request, as the check of its key has found it. `rate_limits` refuses requests and
events beyond the limits of a key, and `security_headers` says what a browser must not do with a response.
"""
