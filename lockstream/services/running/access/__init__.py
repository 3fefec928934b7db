"""The API keys of a running system: checking, changing, following and limiting them.

Start at `access`, which authenticates requests and picks up changes of the keys. `live_keys` are the keys in memory,
`open_requests` ends streams and long polls of keys that are no longer accepted, and `refusals` sums up refused requests
for the audit log. `exposure` tells which addresses other machines can reach. `rate_limits` bounds requests and events a
second of each key, and failed authentications of each remote address, with `token_buckets`. May import `core` and
`settings`.
"""
