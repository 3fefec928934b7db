"""Tests of the list of nodes in a database."""
