"""The operations of the API, one module per resource: `events`, `batches`, `lockers`, `reservations`, `health`.

An endpoint takes the request and the parameters of its path, and returns a response. Nothing else is injected, so
that `app.Application` can call endpoints directly. `reads` has the shared part of all reads of one subject.
"""
