"""What has changed in a working set, on its way to the backing."""

from lockstream.core.entities.log import Cursor
from lockstream.infrastructure.backing import Backing
from lockstream.infrastructure.working_set import WorkingSet


class Settling:
    """Changes on their way from a working set to a backing."""

    def __init__(self, rows: WorkingSet, backing: Backing) -> None:
        self._rows, self._backing = rows, backing
        self._needed = rows.reached != rows.settled
        self._changes = rows.collect()

    @property
    def reached(self) -> Cursor:
        return self._changes.reached

    def write(self) -> None:
        if self._needed:
            self._backing.write(self._changes)

    def confirm(self) -> None:
        self._rows.confirm(self._changes)

    def restore(self) -> None:
        self._rows.restore(self._changes)


def settle(rows: WorkingSet, backing: Backing) -> None:
    """Hand to `backing` what it does not hold yet, in one go.

    Raises:
        StoreUnavailable: it took nothing; all is kept in `rows`.
    """
    settling = Settling(rows, backing)
    try:
        settling.write()
    except BaseException:
        settling.restore()
        raise
    settling.confirm()
