"""What tests do to the tables of a database."""

from contextlib import closing

from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.support.builders import event, fault_reported, registered, reserved
from lockstream.tests.support.databases import connect


def execute(url: str, statement: str) -> None:
    with closing(connect(url)) as connection:
        connection.execute(statement)


def take_in(url: str) -> None:
    with closing(PostgresStore(url)) as store:
        ingest([event(body) for body in (registered(), fault_reported(1), reserved())], store.unit_of_work())
