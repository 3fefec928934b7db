"""Verify the file of the quarantine beside a log: the form of every line. May run beside a server."""

from pathlib import Path

from lockstream.core.wording import agreeing, counted
from lockstream.infrastructure.quarantine.journal import quarantine_path, read_lines
from lockstream.infrastructure.quarantine.lines import EntryLine, LeftLine
from lockstream.services.commands.verify import Verification, explain_unreadable


def verify_quarantine(log: Path, found: Verification) -> None:
    """Add notes and problems of the quarantine beside `log` to a verification, or none if its file is missing."""
    path = quarantine_path(log)
    if not path.exists():
        return
    event_ids: dict[str, None] = {}
    damaged: list[tuple[int, str]] = []
    torn = 0
    try:
        for number, line, reason, is_torn in read_lines(path):
            torn += is_torn and line is None
            match line:
                case EntryLine(entry):
                    event_ids[entry.event_id] = None
                case LeftLine(event_id):
                    event_ids.pop(event_id, None)
                case None if not is_torn:
                    damaged.append((number, reason))
    except OSError as error:
        found.problems.append(explain_unreadable(path, error))
        return
    found.notes.append(f"The quarantine holds {counted(len(event_ids), 'event')}.")
    if torn:
        them = agreeing(torn, "it", "them")
        found.notes.append(
            f"{counted(torn, 'line')} of the quarantine {path} {agreeing(torn, 'was', 'were')} not written completely: "
            f"a server is writing {them}, or the next start goes on without {them}."
        )
    if damaged:
        first, reason = damaged[0]
        found.problems.append(
            f"The quarantine {path} has {counted(len(damaged), 'damaged line')}, the first one at line {first}: "
            f"{reason.rstrip('.')}. The log is not concerned. Copy the file away, and put that of a backup in its "
            "place while no server runs. Without a backup, a start goes on with the other lines."
        )
