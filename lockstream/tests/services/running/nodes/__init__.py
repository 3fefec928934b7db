"""Tests of the nodes that share the work."""
