"""Plain values of the domain, with the limits of their fields.

Start at `events`, the seven events that lockers report. `state` has the rows that events change: compartments,
reservations and faults. `fields` has the limits of single fields, and `log` a cursor in the log and a record. May
import nothing but `core`.
"""
