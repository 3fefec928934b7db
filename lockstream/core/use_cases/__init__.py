"""Use cases of the core: `ingest` decides a batch of events, `catch_up` replays a log into a projection."""
