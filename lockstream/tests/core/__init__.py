"""Tests of the domain: pure functions, without I/O."""
