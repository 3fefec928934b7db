"""The ways to reach Lockstream: the API (`http`), the ASGI server (`server`) and the command line (`cli`).

May import `schemas`, `services`, `core` and `settings`, but not `infrastructure`.
"""
