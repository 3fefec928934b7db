"""Tests of the ASGI server: limits of size and time, malformed requests, and unusual clients."""
