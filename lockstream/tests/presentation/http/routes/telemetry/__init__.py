"""Tests of the metrics that a server serves."""
