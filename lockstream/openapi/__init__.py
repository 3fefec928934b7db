"""The contract, committed as `openapi.yaml`.

Start at `__main__`, which writes the file: `python -m lockstream.openapi`. May import `main`, the application.
"""
