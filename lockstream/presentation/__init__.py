"""The ways to reach Lockstream: the API (`http`), the ASGI server (`server`) and the command line (`cli`).

Start at `http`. May import `schemas`, `services`, `core`, `settings` and `compatibility`, but not `infrastructure`.
"""
