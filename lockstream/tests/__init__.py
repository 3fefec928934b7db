"""The tests. The modules here test the whole application, and the folders mirror those of the package.

Start at `support/builders.py`, which makes the events that nearly all tests send. `conftest` gives each test a log of
its own. `crash` provokes faults, `nodes` runs several processes on one database, `observability` runs the alerts on a
real Prometheus, `fuzz` sends random bytes to the decoders, `docs` compares the documentation with the code, and `bench`
tests the benchmark.
"""
