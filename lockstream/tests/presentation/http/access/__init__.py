"""Tests of access control over HTTP: every operation with every kind of key, limits, and callers bound to lockers.

`networks` has networks that differ only in the lockers that a bound caller may not see, `answers` what an answer says
apart from positions, and `bound_requests` a table of requests for every operation of the contract.
"""
