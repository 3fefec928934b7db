"""The HTTP API.

Start at `app`, which builds the application. `routes` has one module per resource and finds the operation of a request,
`access` decides whether the caller may use the operation, and `telemetry` notes requests with their responses. `bodies`
reads request bodies, `json_response` sends encoded responses, and `event_stream` server-sent events. `min_position`
reads the position that a request demands, `log_id` the log that a reader of the feed has read, `query_parameters`
parses and declares the query of a URL, `page_tokens` encodes the beginning of a page, `media_types` chooses a media
type that a request accepts, `entity_tags` tells whether a client has a state already, `proxies` handles the path prefix
and the remote address behind a proxy, and `errors` turns exceptions into responses. May import `schemas`, `services`,
`core` and `settings`, but neither `server` nor `cli`.
"""
