"""Tests of the HTTP API: bodies, headers, documentation and errors of the real application."""
