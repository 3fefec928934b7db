"""Telemetry: the state of the running system at one moment, what it has counted, its problems, and traces of its work.

Start at `figures`, the state that the console, `lockstream status` and the metrics show. `problems` says what is wrong
in it, and what to do. `growth` tells when the log fills its disk, and `attempts` leaves out figures that are
unavailable. `batch_tally` and `request_tally` count while the system works, `counts` are their numbers at one moment,
and `metrics` has all of it as families of Prometheus. `traces` follows single requests through the system. May import
`core`, and `telemetry` of `infrastructure`; `metrics` and `traces` may import all that `running` may.
"""
