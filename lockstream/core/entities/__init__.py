"""Plain values of the domain, with the limits of their fields.

Start at `events`, the seven events that lockers report. `state` has the rows that events change: compartments,
reservations, faults and the totals of lockers. `silence` tells which lockers have had no event for unusually long.
`subjects` are lockers, compartments and reservations as a request names them. `listings` has the filters of lists, and
`feed` the filters and pages of the feed. `fields` has the limits of single fields, `quarantine` events that were not
accepted, and `log` a cursor in the log, a record and its time. `access` has the scopes and callers of API keys, `keys`
the stored keys and the audit log, and `key_text` the text of a key. May import nothing but `core`.
"""
