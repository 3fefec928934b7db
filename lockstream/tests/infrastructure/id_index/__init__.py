"""Tests of the id index: lookups, run files and compaction."""
