"""Tests of access control over HTTP.

`calling` gives clients whose requests have a given caller. `networks` has networks that differ only in the lockers that
a bound caller may not see, `answers` what an answer says apart from positions, and `bound_requests` a table of requests
for every operation of the contract.
"""
