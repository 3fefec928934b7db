"""Access control over HTTP: callers, their keys and scopes.

Start at `gate`, which admits a request or refuses it. `scopes` has the scope that each operation needs, `declarations`
adds keys and their refusals to the contract, `callers` has the caller of a request, and `ending` ends a request whose
key is revoked meanwhile.
"""
