"""The operations of the API, one module per resource: `events`, `batches`, `feed`, `histories`, `lockers`,
`reservations`, `faults`, `search`, `quarantine`, `health`.

Start at `events`. An endpoint takes the request and the parameters of its path, and returns a response. Nothing else is
injected, so that `app.Application` can call endpoints directly; `operations` finds the one of a request. `access` has
the operations of API keys, `figures` those of totals and of the running system, `telemetry` the metrics, and `shared`
the parts that several operations have in common. May import the other modules of `http` except `app`, and what they may
import.
"""
