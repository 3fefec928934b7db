"""Crash tests: no fault loses an acknowledged event. Real processes, real files, real faults.

Each test counts the effects of its faults, and `fault_report` prints the counts as the table of docs/reliability.md.
`clients` are lockers that report under load, and `readers` read all lists, states and the feed beside them. The lockers
of `late_reports` report in a wrong order, so that the quarantine fills. A `killed_reader` is a process that follows the
feed and may be killed. `disk_image` restarts on the files that a fault left, and `lossy_fs` is a disk that forgets
unflushed writes. LOCKSTREAM_CRASH=full runs every case of each test. Without it, a bounded part runs.
"""
