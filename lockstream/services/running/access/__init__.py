"""The API keys of a running system: they are checked, changed and followed.

Start at `access`, which authenticates requests and picks up changes of the keys. `live_keys` are the keys in memory,
`open_requests` ends streams and long polls of keys that are no longer accepted, and `refusals` sums up refused requests
for the audit log. `exposure` tells which addresses other machines can reach. May import `core` and `settings`.
"""
