"""Tests of the documentation: its tables agree with the code, its commands run, and its messages are printed."""
