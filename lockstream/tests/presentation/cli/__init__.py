"""Tests of the command line: options, output, exit codes, and commands that are killed."""
