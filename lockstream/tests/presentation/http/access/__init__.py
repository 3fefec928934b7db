"""Tests of a caller whose key is bound to lockers, over HTTP.

`networks` has networks that differ only in the lockers that the caller may not see, `answers` what an answer says apart
from positions, and `bound_requests` a table of requests for every operation of the contract.
"""
