"""Access control of the running system.

`rate_limits` bounds requests and events a second of each key, and failed authentications of each remote address, with
`token_buckets`. May import `core` and `settings`.
"""
