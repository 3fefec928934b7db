"""Tests of the check of API keys in a running system, and of rate limits."""
