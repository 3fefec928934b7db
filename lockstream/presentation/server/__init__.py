"""The ASGI server: uvicorn, configured for Lockstream.

Start at `run`, which starts uvicorn, and sets up signals, open files and garbage collection. `protocol` is the HTTP/1.1
connection with its limits on size and time, and `tls` the certificate of the server. `handshakes` limits the number
of unfinished TLS handshakes. `server_log` writes log messages to standard error. May import `core`, `settings` and
`compatibility`, but neither `http` nor `cli`.
"""
