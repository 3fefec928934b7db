"""The contract, committed as `openapi.yaml`, and the description of the feed's stream, `asyncapi.yaml`.

Start at `__main__`, which writes both files: `python -m lockstream.openapi`. `streams` makes the second one from the
first. May import `main`, the application.
"""
