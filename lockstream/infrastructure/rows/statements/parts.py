"""Parts of the statements of lists: parameters, conditions that match one index, and merges of several indexes."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    CompoundSelect,
    Select,
    String,
    Table,
    and_,
    bindparam,
    literal_column,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.types import TypeEngine

type AnySelect = Select[*tuple[Any, ...]]
type Statement = AnySelect | CompoundSelect[*tuple[Any, ...]]
type Condition = ColumnElement[bool]

LIMIT = bindparam("limit", type_=BigInteger)
PAGE_LIMIT = bindparam("page_limit", type_=BigInteger)
MIN_SEVERITY = bindparam("min_severity", type_=BigInteger)
LOCKER_ID = bindparam("locker_id", type_=String)


def merged(
    table: Table,
    parts: Sequence[AnySelect],
    *key: str,
    descending: bool,
    of_locker: bool = False,
    of_severity: bool = False,
) -> Statement:
    """Return the first rows of all parts of a table, in the order of the columns `key`. No row is in two parts."""

    def ordered(page: AnySelect, columns: ReadOnlyColumnCollection[str, Any], *names: str) -> AnySelect:
        return page.order_by(*(columns[name].desc() if descending else columns[name] for name in names)).limit(LIMIT)

    names = ("locker_id", *key) if of_locker else ("severity", *key) if of_severity else key
    pages = [ordered(part, table.c, *names) for part in parts]
    if len(pages) == 1:
        return pages[0]
    merged = union_all(*(select(page.subquery()) for page in pages)).subquery()
    return ordered(select(merged), merged.c, *key)


def in_order_of(position: Column[int], rows: AnySelect) -> AnySelect:
    """Return a SELECT of all `rows` of a locker, read from the index that has them in the order of `position`.

    The order makes this index the only one that fits, and the limit is beyond all rows. An engine ignores the order of
    a subquery without a limit, and then chooses any index that begins with the locker's id.
    """
    ordered = rows.order_by(position.table.c.locker_id, position).limit(literal_column(str(2**62)))
    return select(ordered.subquery())


def positions_page(table: Table, key: str, has_locker: bool) -> AnySelect:
    """Return a SELECT of the rows whose positions `key` are within bounds, of one locker or of all."""
    if has_locker:
        return select(table).where(of_locker_within_bounds(table, key, BigInteger()))
    column = table.c[key]
    return select(table).where(
        column >= bindparam("lower", type_=BigInteger), column <= bindparam("upper", type_=BigInteger)
    )


def of_locker_within_bounds(
    table: Table, key: str, key_type: TypeEngine[Any], first: str = "lower", last: str = "upper"
) -> Condition:
    """Return the condition that a row belongs to the locker, and that its key is within bounds.

    A comparison of pairs matches only an index of these two columns in this order. PostgreSQL could read the whole
    index of another order for a comparison of each column.
    """
    pair = tuple_(table.c.locker_id, table.c[key])
    lower, upper = (tuple_(LOCKER_ID, bindparam(name, type_=key_type)) for name in (first, last))
    return and_(pair >= lower, pair <= upper)


def ids_in_order(column: ColumnElement[str], *further: ColumnElement[str]) -> AnySelect:
    return select(column, *further).where(ids_within_bounds(column)).order_by(column, *further).limit(LIMIT)


def ids_within_bounds(column: ColumnElement[str], first: str = "lower", last: str = "upper") -> Condition:
    return and_(column >= bindparam(first, type_=String), column < bindparam(last, type_=String))


def pairs_within_bounds(number: ColumnElement[int], locker_id: ColumnElement[str]) -> Condition:
    """Return the condition that a pair of a number and an id is within bounds."""
    pair = tuple_(number, locker_id)
    lower, upper = (
        tuple_(bindparam(f"{name}_number", type_=BigInteger), bindparam(f"{name}_id", type_=String))
        for name in ("lower", "upper")
    )
    return and_(pair >= lower, pair < upper)


def expression(column: ColumnElement[int]) -> ColumnElement[int]:
    """Return the column as an expression that no index matches."""
    return column + literal_column("0", BigInteger)


def text_expression(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return the column as an expression that no index matches."""
    return column.concat(literal_column("''"))
