"""The bodies on the wire.

Start at `events`, which reads the body of an event; `batches` reads that of a batch. `responses` describes the bodies
of responses, and `outcomes` writes the responses to events as bytes. May import `core` and `infrastructure.codec`.
"""
