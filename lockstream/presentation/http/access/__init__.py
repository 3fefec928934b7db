"""Access control over HTTP: callers, their keys, scopes and limits.

Start at `gate`, which admits a request or refuses it. `other_sites` refuses those of pages of other sites to a server
without keys. `scopes` has the scope that each operation needs, `declarations`
adds keys and their refusals to the contract, `callers` has the caller of a request, and `ending` ends a request whose
key is revoked meanwhile. `rate_limits` refuses requests and events beyond the limits of a key. `views` limits the
running system to the lockers of the caller. `security_headers` says what a browser must not do with a response.
"""
