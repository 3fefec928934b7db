"""The interfaces of Lockstream: the API (`http`), the console for people (`console`), the ASGI server that serves both
(`server`), and the command line (`cli`).

Start at `http`. May import `schemas`, `services`, `core`, `settings` and `compatibility`, but not `infrastructure`.
"""
