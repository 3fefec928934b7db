"""Starts Lockstream: `python run.py` is `lockstream serve`, without installing the package."""

import sys

from lockstream.__main__ import run

if __name__ == "__main__":
    run(["serve", *sys.argv[1:]])
