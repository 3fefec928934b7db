"""The commands `lockstream keys` and `lockstream audit`, which work on the files or the database beside a server.

Start at `keys`, which lists, creates, rotates and revokes API keys. `audit` prints the audit log, and `durations` reads
times such as `90d`. May import everything that the other commands may import.
"""
