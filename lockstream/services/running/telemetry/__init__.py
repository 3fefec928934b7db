"""Telemetry: the state of the running system at one moment, its counts, its problems, and traces of its work.

Start at `figures`, the state that the console, `lockstream status` and the metrics show. `problems` finds the problems
in the figures, with their remedies. `growth` tells when the log fills its disk, and `attempts` leaves out figures that
are unavailable. `batch_tally` and `request_tally` count while the system works, and `counts` has their numbers at one
moment. `metrics` turns figures and counts into families of Prometheus. `traces` follows single requests through the
system. May import `core`, and `telemetry` of `infrastructure`; `metrics` and `traces` may import all that `running`
may.
"""
