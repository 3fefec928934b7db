"""Metrics: `metrics` is the operation that a monitoring system scrapes, `metrics_port` serves them without a key.

May import everything that the other routes may import.
"""
