"""Rows that SQLite returns as one JSON text: the same rows, in the same order, as one by one."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, LargeBinary, String, bindparam, cast, func, literal_column, select

from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.sqlite.database import (
    DATABASE_ERRORS,
    integer_list,
    integers,
    reading_engine,
    rows_in_one_step,
)

NUMBERS = integers("positions")
TEXTS = ["", "\x00", "\x1f", '"', "\\", "\u202e", "\U0010ffff", "é" * 500, "<b>&", "\n"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = reading_engine(tmp_path / "database.sqlite")
    yield engine
    engine.dispose()


def test_rows_are_the_same_and_in_the_same_order_as_one_by_one(engine: Engine) -> None:
    # given a statement with two columns of the same name, NULLs, numbers of 64 bits, an order and a limit
    number = NUMBERS.c.value
    null = func.nullif(number % literal_column("3"), literal_column("0"))
    page = select(number, number, null, (number % literal_column("7")).label("value"))
    statement = Prepared(page.order_by(number.desc()).limit(bindparam("limit")), engine.dialect)
    values = {"positions": integer_list([*range(500), 2**63 - 1, -(2**63)]), "limit": 400}
    with closing(engine.raw_connection()) as connection:
        expected = list(statement.rows(connection, values))
        assert rows_in_one_step(connection, statement, values) == expected
        assert expected[0][0] == 2**63 - 1
        assert len(expected) == 400
        assert rows_in_one_step(connection, statement, {**values, "limit": 0}) == []


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_the_same(engine: Engine, text: str) -> None:
    statement = Prepared(select(bindparam("text", type_=String)), engine.dialect)
    with closing(engine.raw_connection()) as connection:
        assert rows_in_one_step(connection, statement, {"text": text}) == [(text,)]


def test_a_blob_which_only_damage_can_leave_is_an_error_of_the_database(engine: Engine) -> None:
    statement = Prepared(select(cast(bindparam("text", type_=String), LargeBinary)), engine.dialect)
    with closing(engine.raw_connection()) as connection, pytest.raises(DATABASE_ERRORS, match="BLOB"):
        rows_in_one_step(connection, statement, {"text": "x"})
