"""What the system does with events: `ingest` decides a batch, `catch_up` replays a log into a projection."""
