"""Tests of access control over HTTP. `calling` gives clients whose requests have a given caller."""
