"""Tests of the quarantine in a database: nodes that write at once, lost connections, and events that were accepted."""
