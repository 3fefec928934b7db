"""`python -m lockstream` is the command `lockstream`."""

from lockstream.presentation.cli.main import main

main()
