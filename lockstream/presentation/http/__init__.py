"""The HTTP API.

`app` builds the application and answers every operation, `routes` has one module per resource. `bodies` reads request
bodies, `min_position` the position that a read demands, `proxies` the path prefix of a proxy, and `errors` turns
exceptions into responses. Independent of `server` and `cli`.
"""
