"""The bodies on the wire.

`events` and `batches` read what clients send, `responses` describes what they get, and `outcomes` writes the responses
to events as bytes. May import `core` and `infrastructure.codec`.
"""
