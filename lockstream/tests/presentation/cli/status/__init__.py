"""The command `status`."""
