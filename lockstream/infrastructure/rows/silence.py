"""The conditions of `Silence` in SQL: a locker is silent, or gone. The parameters have the names of its fields.

No index matches these conditions, whose last position is an expression. So a list that is filtered by one of them reads
lockers in its own order. The list by the last event has bounds besides (docs/decisions/0032).
"""

from sqlalchemy import BigInteger, BindParameter, and_, bindparam, literal_column, or_

from lockstream.core.entities.silence import LEARNED_EVENTS, SILENT_FACTOR
from lockstream.infrastructure.rows.tables import lockers


def _position(name: str) -> BindParameter[int]:
    return bindparam(name, type_=BigInteger)


_last, _gone = lockers.c.last_position + literal_column("0", BigInteger), _position("gone_through")
_events = lockers.c.events - lockers.c.compartments
_learned = literal_column(str(LEARNED_EVENTS), BigInteger)
_longest_gap = literal_column(str(SILENT_FACTOR), BigInteger) * (lockers.c.gap_squares // lockers.c.gap_sum)
_is_silent_or_gone = and_(
    _last <= _position("quiet_through"),
    or_(
        and_(_events >= _learned, _position("position") - _last >= _longest_gap),
        and_(_events < _learned, _last <= _position("young_through")),
    ),
)

IS_SILENT = and_(_last > _gone, _is_silent_or_gone)
IS_GONE = and_(_last <= _gone, _is_silent_or_gone)
