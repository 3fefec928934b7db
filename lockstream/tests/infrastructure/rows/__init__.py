"""Tests of the projection's shape, which both engines share."""
