"""Tests of request ids and of the access log."""
