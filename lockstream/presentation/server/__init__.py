"""The ASGI server: uvicorn, configured for Lockstream.

`run` starts it, with signals, open files and garbage collection. `protocol` is the HTTP/1.1 connection with its limits
on size and time. Independent of `http` and `cli`.
"""
