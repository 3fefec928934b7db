"""Traces of requests and of the work behind them.

Start at `tracing`, which opens traces if the settings ask for them. The other modules need OpenTelemetry's SDK, and are
imported only if traces are on: `spans` begins and ends spans, `deliveries` ties pages of the feed to the requests that
reported their events, `traced_group_commit`, `traced_checkpointer` and `traced_transactions` stand in for the parts of
the system whose work they trace. May import all that `running` may.
"""
