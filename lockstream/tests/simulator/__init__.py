"""Tests of the simulator: the same seed, the real rules, the rhythm of a week, and a server that comes and goes."""
