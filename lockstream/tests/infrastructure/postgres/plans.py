"""Plans of statements that PostgreSQL has executed, with the blocks that each has touched."""

import re
from collections.abc import Callable

from lockstream.infrastructure.postgres.connection import DatabaseRows, Results, Statement


def explained(statement: Statement, _: Results, fetch: Callable[[Statement], DatabaseRows]) -> list[str]:
    """Execute a statement, and return the lines of its plan."""
    return [line for (line,) in fetch(Statement(f"EXPLAIN (ANALYZE, BUFFERS) {statement.text}", statement.values))]


def blocks_of(plan: list[str]) -> int:
    """Return the number of blocks that a statement has touched. The first line that counts them counts all."""
    found = re.search(r"Buffers: shared hit=(\d+)(?: read=(\d+))?", "\n".join(plan))
    assert found
    return int(found[1]) + int(found[2] or 0)
