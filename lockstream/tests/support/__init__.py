"""Shared parts of the tests.

`builders` makes bodies of events, `histories` small logs, and `log_audit` checks a log without the product's code.
`clients`, `keyed_clients` and `memory_system` run the application in this process, `commands` the command line, and
`processes` real servers. `scripted_server` sends the responses that a test writes. `databases` and `postgres_server`
are a real PostgreSQL, and `faulty_store` is a store whose flushes fail. `contract` compares responses with
`openapi.yaml`. `otlp` is a collector of traces. `kept_logs` has logs of earlier formats. `budgets`, `coroutines` and
`requirements` set limits and skip tests.
"""
