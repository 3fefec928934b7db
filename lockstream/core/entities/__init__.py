"""Plain values of the domain. Start at `events`, what lockers report; `state` is what an event changes.

`fields` has the limits of single fields, `log` a position in the log and a record. May import nothing but `core`.
"""
