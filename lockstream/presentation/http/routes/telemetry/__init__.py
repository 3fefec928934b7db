"""The operation `metrics`, by which a monitoring system scrapes the server, and `metrics_port`, the same without a key.

May import what the other routes may import.
"""
