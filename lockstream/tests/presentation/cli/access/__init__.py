"""Tests of the commands `keys` and `audit`."""
