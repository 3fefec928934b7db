"""Runs the command line as `python -m lockstream`."""

from lockstream.presentation.cli.main import main

main()
