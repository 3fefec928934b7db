"""Tests of deploy/observability: rules, dashboard and pages, and a real Prometheus over real servers.

`deployed` reads the files, and `prometheus` runs them. `test_rules` checks them with promtool, and against
docs/operations.md. `test_scrapes` compares them with what servers tell under load. `test_faults` provokes faults, of
which each raises its alert. LOCKSTREAM_CRASH=full also runs the unit tests over days.
"""
