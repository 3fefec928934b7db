"""Tests of the figures of the running system, and of what follows from them."""
