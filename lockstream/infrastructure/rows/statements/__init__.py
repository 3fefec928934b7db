"""The statements of lists, by subject.

`parts` has what all share: parameters, conditions that match one index, and merges of several indexes. `lockers`,
`reservations`, `faults` and `history` use it. May import `tables` and `silence` of `rows`, and `core`.
"""
