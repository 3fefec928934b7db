"""Tests of the ways to reach Lockstream."""
