"""Crash tests: no fault loses an acknowledged event. Real processes, real files, real faults.

Each test counts the effects of its faults, and `fault_report` prints the counts as the table of docs/reliability.md.
`clients` are lockers that report under load, and `readers` read all lists and states beside them. `disk_image` restarts
on the files that a fault left, and `lossy_fs` is a disk that forgets unflushed writes. LOCKSTREAM_CRASH=full runs every
case of each test; without it, a bounded part runs.
"""
