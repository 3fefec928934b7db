"""The bodies on the wire.

Start at `events`, which reads the body of an event; `batches` reads that of a batch. `responses` describes the bodies
of responses, `records` those with accepted events, `states` those with all of a locker, `listings` those of lists,
`quarantine` those of the quarantine, `keys` those of API keys and of the audit log, and `figures` those of the system.
`outcomes` writes the responses to events as bytes, `cloud_events` reads and writes events as CloudEvents, and
`instants` reads a time. May import `core` and `infrastructure.codec`.
"""
