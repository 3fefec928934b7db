"""Silent lockers of the running system. Start at `sweep`, which finds the measure of silence once a minute.

May import `core`.
"""
