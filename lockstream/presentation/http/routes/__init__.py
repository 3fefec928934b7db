"""The operations of the API, one module per resource.

An endpoint takes the request and the parameters of its path, and returns a response. Nothing else is injected, so
that `app.Application` can call endpoints directly.
"""
