"""Starts Lockstream: `python run.py` is `lockstream serve`, without installing the package."""

import sys

from lockstream.presentation.cli.main import main

if __name__ == "__main__":
    main(["serve", *sys.argv[1:]])
