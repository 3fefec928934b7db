"""The operations of the API, one module per resource: `events`, `batches`, `feed`, `histories`, `lockers`,
`reservations`, `faults`, `search`, `quarantine`, `health`.

Start at `events`. An endpoint takes the request and the parameters of its path, and returns a response. Nothing else is
injected, so that `app.Application` can call endpoints directly; `operations` finds the endpoint of a request. `access`
has the operations of API keys and the audit log, `figures` the totals of the network and the state of the running
system, `telemetry` the metrics, and `shared` the common parts of several operations. May import the other modules of
`http` except `app`, and everything that these modules may import.
"""
