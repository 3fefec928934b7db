"""Tests of the reads of a caller that is bound to lockers. Its lists are tested in `infrastructure/stores`."""
