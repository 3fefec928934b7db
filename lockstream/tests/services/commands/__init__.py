"""Tests of one-off work on a log, without the command line."""
