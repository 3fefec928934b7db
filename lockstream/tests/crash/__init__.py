"""Crash tests: nothing acknowledged is lost, whatever fails. Real processes, real files, real faults.

Each test counts what its faults did, and `fault_report` prints the counts as the table of docs/reliability.md.
`clients` are lockers that report under load, `disk_image` restarts on the files that a fault left, and `lossy_fs` is a
disk that forgets unflushed writes. LOCKSTREAM_CRASH=full runs every case of each test; without it, a bounded part runs.
"""
