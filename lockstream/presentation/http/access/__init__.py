"""Access control over HTTP: callers, their keys, scopes and limits.

Start at `gate`, which admits a request or refuses it. `other_sites` protects a server without keys against requests of
pages of other sites. `scopes` has the scope that each operation needs, `declarations` adds keys and their refusals to
the contract, `callers` has the caller of a request, and `revocation` ends a request whose key is revoked meanwhile.
`rate_limits` refuses requests and events beyond the limits of a key. `views` limits the
running system to the lockers of the caller. `security_headers` adds the headers that restrict browsers.
"""
