"""The benchmark: `python -m bench`. It drives Lockstream and its peers as processes, and is no part of the package."""
