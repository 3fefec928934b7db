"""Tests of the embedded projection: row cache, checkpoints and reads, also on a failing database."""
