"""The HTTP API.

Start at `app`, which builds the application and answers every operation. `routes` has one module per resource.
`bodies` reads request bodies, `json_response` sends encoded ones, `min_position` is the position that a read demands,
`proxies` the path prefix of a proxy, and `errors` turns exceptions into responses. Independent of `server` and `cli`.
"""
