"""`python -m lockstream` is the command `lockstream`."""

from lockstream.presentation.cli import main

main()
