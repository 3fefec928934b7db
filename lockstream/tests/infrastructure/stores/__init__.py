"""Tests of the stores: the same tests on all of them, and random histories against an independent model."""
