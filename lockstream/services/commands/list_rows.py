"""Lists for the command line: the projection as it is on disk, beside a running server."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from lockstream.core.errors import ProjectionInvalid, StoreUnavailable
from lockstream.core.ports import Listings, ReadResult
from lockstream.infrastructure.file_log.reader import LogReader
from lockstream.infrastructure.rows.mapping import reason
from lockstream.infrastructure.sqlite.database import DATABASE_ERRORS, reading_engine
from lockstream.infrastructure.sqlite.listings import SqliteListings
from lockstream.infrastructure.sqlite.projection import read_progress
from lockstream.infrastructure.stores.embedded import projection_path


def list_rows[ValueT](log: Path, query: Callable[[Listings], ValueT]) -> ReadResult[ValueT]:
    """Execute the query of a list on the projection of `log`, and return its value with the position that it reflects.

    Raises:
        StoreUnavailable: there is no projection of this version, or it cannot be read.
    """
    projection = projection_path(log)
    if not projection.exists():
        raise StoreUnavailable(
            f"The projection {projection} does not exist. Start Lockstream once, or run `lockstream rebuild`."
        )
    engine = reading_engine(projection)
    try:
        with engine.connect() as connection:
            read_progress(connection)
    except ProjectionInvalid as error:
        raise StoreUnavailable(f"{error} Start Lockstream once, or run `lockstream rebuild`.") from error
    except DATABASE_ERRORS as error:  # such as a missing permission
        raise StoreUnavailable(
            f"The projection {projection} cannot be opened ({reason(error)}). Run the command as the user of the "
            "server, or as one who may read and write the folder."
        ) from error
    finally:
        engine.dispose()
    with closing(SqliteListings(projection, LogReader.open(log))) as listings:
        return listings.list(query)
