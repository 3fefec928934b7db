"""The figures of the running system: its state at one moment, and the problems that follow from it.

Start at `figures`, the state that the console, `lockstream status` and the metrics show. `problems` says what is wrong
in it, and what to do. `growth` tells when the log fills its disk, and `attempts` leaves out figures that are not to be
had. May import `core`, and of `infrastructure` nothing.
"""
