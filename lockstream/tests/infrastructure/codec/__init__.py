"""Tests of the codec: which events and lines it accepts, and that a value survives encoding."""
