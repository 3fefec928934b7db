"""The runbook: what each problem of the system means, what may be lost, and what to do.

docs/operations.md has a section of the same name about each, with the messages in the log and the details.
"""

from typing import Final, NamedTuple


class Section(NamedTuple):
    """The section about one problem."""

    title: str
    meaning: str
    loss: str
    remedy: str


RUNBOOK: Final = {
    "a-node-that-is-away": Section(
        "A node that is away",
        "A node has not been heard for 15 seconds. It has ended without being stopped, it hangs, or it does not reach "
        "the database.",
        "Nothing that was acknowledged. Lockers send events without a response again, to another node.",
        "Look at the process and its log, and start it again. A node that is gone for good leaves the list after "
        """a day. To delete it now: psql "$URL" -c "DELETE FROM nodes WHERE name = '…'".""",
    ),
    "nodes-of-several-versions": Section(
        "Nodes of several versions",
        "An upgrade is not finished, or a node was started with another version of Lockstream than the others. They "
        "share the log as long as the rules and the projection of both versions are the same.",
        "Nothing.",
        "Restart the nodes of the older version with the newer one, one after the other.",
    ),
    "events-are-refused": Section(
        "Events are refused",
        "Every event gets 503, and the text names the reason. Either the database is away, or the server is stopping.",
        "Nothing that was acknowledged. Lockers send their events again.",
        "Do what the text says. A node finds out within a second that its database is back.",
    ),
    "a-poisoned-log": Section(
        "A poisoned log",
        "A write or a flush of the log has failed, or the file was moved, replaced, truncated or written to by another "
        "program. Its content on the disk is unknown now, so every event gets 503 until a restart has read the file. "
        "Reads go on.",
        "Nothing that was acknowledged. An event that got 503 may be in the log all the same; sent again, it gets 200.",
        "Free some space, or check the disk. Put the file back if it was moved. Then restart: waiting does not help.",
    ),
    "a-full-disk": Section(
        "A full disk",
        "While the disk of the log file has less free space than LOCKSTREAM_MIN_FREE_BYTES, every event gets 503. "
        "Reads go on. The disk of a database is not watched.",
        "Nothing that was acknowledged.",
        "Free some space; no restart is needed. Never remove the log itself.",
    ),
    "a-projection-that-is-behind": Section(
        "A projection that is behind",
        "The log goes on, and the projection beside it does not follow: lists show an earlier state, and a restart "
        "takes longer. Once memory is full, events get 503.",
        "Nothing.",
        "Free some space, end the program that has locked the projection, or find out why the disk is slow. A "
        "checkpoint is tried every second.",
    ),
    "a-full-queue": Section(
        "A full queue",
        "More events come than the disk or the database takes. LOCKSTREAM_QUEUE_LIMIT bounds the events that wait; "
        "further ones get 503.",
        "Nothing that was acknowledged.",
        "Look at the duration of flushes first, then at the senders. A key that floods the queue can get a rate limit.",
    ),
    "too-many-streams": Section(
        "Too many streams",
        "As many streams of the feed are open as LOCKSTREAM_STREAM_LIMIT allows, and further readers get 503.",
        "Nothing. A reader goes on where it was.",
        "Find readers that connect again without closing, or raise the limit. A stream takes some 30 KiB of memory.",
    ),
    "a-replica-that-is-behind": Section(
        "A replica that is behind",
        "Reads go to the replica at LOCKSTREAM_READ_URL. While it lags behind, they show an earlier state; while it is "
        "away, they get 503. Events are accepted all the same.",
        "Nothing.",
        "Check its replication in pg_stat_replication. To read from the primary meanwhile, restart the nodes without "
        "LOCKSTREAM_READ_URL.",
    ),
    "a-quarantine-that-fills": Section(
        "A quarantine that fills",
        "Lockers send events that the rules refuse, or ids that they have used before. When the quarantine is full, "
        "its oldest entries leave. If it cannot be written, it is kept in memory.",
        "Entries that left; accepted events never.",
        "Look at the quarantine for the senders and the reasons. Mend the cause, then resubmit or discard the entries. "
        "Free some space if it cannot be written.",
    ),
    "keys-that-cannot-be-followed": Section(
        "Keys that cannot be followed",
        "The files or tables that hold the API keys cannot be read or written. The server goes on with the keys that "
        "it has read before, so a key that was revoked meanwhile is still accepted.",
        "Audit entries wait in memory.",
        "The log of the server names the file or the database. Mend it, or restore it from a backup.",
    ),
    "missing-figures": Section(
        "Missing figures",
        "Parts of the system's state could not be read within a second, such as the free space of a disk that hangs. "
        "The other figures are right, and a problem of those parts is not seen.",
        "Nothing.",
        "Find out whether the disk or the database is slow, or whether long lists are read at this moment.",
    ),
}
"""The sections by the name that a problem has as its page."""
