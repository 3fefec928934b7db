"""Tests of rate limits, apart from HTTP."""
