"""Tests of API keys over HTTP: every operation with every kind of key."""
