"""Tests of the log in a file: appending, flushing, reading, recovery and a full disk."""
