"""The use cases of the core.

Start at `ingest`, which decides a batch of events. `admission` refuses events that their caller may not report.
`catch_up` replays a log into a projection, and `history` reads the events of one subject. `time_travel` reads a subject
as it was at an earlier position, and `resubmit` decides events of the quarantine afresh. `manage_keys` creates, rotates
and revokes API keys. `activity` counts accepted events per step of time, and `silent_lockers` finds lockers that have
had no event for unusually long. `sorted_lockers` sorts lockers in an order that no index has, if they are few. May
import nothing but `core`.
"""
