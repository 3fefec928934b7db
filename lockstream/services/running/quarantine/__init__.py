"""The quarantine of the running system, which notes, shows and resubmits events that were not accepted.

Start at `quarantine`. `buffer` merges arrivals until they are written, `entries` are the entries that a caller may see,
and `resubmission` decides entries afresh.
"""
