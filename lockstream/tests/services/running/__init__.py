"""Tests of the live system: group commit, durability, checkpoints, startup and close."""
