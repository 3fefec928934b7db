"""Tests of the bodies on the wire: reading events and batches."""
