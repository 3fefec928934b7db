"""Tests of the documentation: it says what the code does, its commands run, and its messages are printed."""
