"""The quarantine of the running system: events that were not accepted are noted, shown, and decided afresh.

Start at `quarantine`. `buffer` merges arrivals until they are written, `entries` are those that a caller may see, and
`resubmission` decides entries afresh.
"""
