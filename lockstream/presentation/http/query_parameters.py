"""The parameters in the query of a URL. The parser and the contract use one declaration of each parameter."""

import re
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from starlette.requests import Request

from lockstream.core.entities.feed import MAX_PARTITIONS, Partition
from lockstream.core.entities.fields import IDENTIFIER, IDENTIFIER_FORM, IDENTIFIER_MAX, TIMESTAMP, is_identifier
from lockstream.core.wording import agreeing, quoted
from lockstream.presentation.http.min_position import MAX_POSITION
from lockstream.schemas.instants import Instant, instant_of

_WHOLE_NUMBER = re.compile("0|[1-9][0-9]{0,17}")

_INSTANT = {"type": "string", "format": "date-time", "pattern": f"^{TIMESTAMP}$"}
_INSTANT_FORM = (
    "a time with an offset (RFC 3339), such as 2026-11-23T08:00:00Z or 2026-11-23T09:00:00%2B01:00: a URL has %2B for "
    "the plus sign"
)


class Head(StrEnum):
    """The word that stands for the head of the log in a parameter."""

    HEAD = "head"


class InvalidQuery(Exception):
    """Raised when an operation does not allow the query of a URL. The text names the allowed values."""

    @classmethod
    def of(cls, name: str, text: str, allowed: str) -> "InvalidQuery":
        """Return the error about a parameter whose value is not allowed."""
        return cls(f"The query parameter {name} is {quoted(text)}. Send {allowed}.")


class Parameter[ValueT](NamedTuple):
    """A parameter of a query, which may be omitted unless it is required."""

    name: str
    description: str
    parse: Callable[[str], ValueT]
    """Returns the value of a text, or raises ValueError."""

    allowed: str
    """The values that are allowed, as an error names them after "Send"."""

    schema: dict[str, Any]
    default: ValueT
    is_required: bool = False

    def declaration(self) -> dict[str, Any]:
        """Return the parameter as the contract declares it."""
        return {
            "name": self.name,
            "in": "query",
            "required": self.is_required,
            "description": self.description,
            "schema": self.schema,
        }


class Values:
    """The values of one request by parameter."""

    def __init__(self, given: Mapping[str, Any], texts: list[tuple[str, str]]) -> None:
        self._given = given
        self.texts = texts
        """The names and texts that were sent, in order."""

    def __getitem__[ValueT](self, parameter: Parameter[ValueT]) -> ValueT:
        value: ValueT = self._given.get(parameter.name, parameter.default)
        return value

    def __contains__(self, parameter: Parameter[Any]) -> bool:
        """Return whether the parameter was sent."""
        return parameter.name in self._given


class QueryParameters:
    """All query parameters of one operation."""

    def __init__(
        self,
        *parameters: Parameter[Any],
        ignores_others: bool = False,
        refused: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Without `ignores_others`, an unknown parameter is an error.

        `refused` are unknown names that clients are likely to try, each with the text of its error.
        """
        self._by_name = {parameter.name: parameter for parameter in parameters}
        self._ignores_others = ignores_others
        self._refused = refused

    def declarations(self) -> list[dict[str, Any]]:
        """Return the parameters as the contract declares them."""
        return [parameter.declaration() for parameter in self._by_name.values()]

    def filters(self, values: Values, excluded: Collection[Parameter[Any]]) -> dict[str, Any]:
        """Return the values of all parameters except `excluded`, by name: the default if one was not sent."""
        return {name: values[one] for name, one in self._by_name.items() if one not in excluded}

    def parse(self, request: Request) -> Values:
        """Return the values that a request gives.

        Raises:
            InvalidQuery: a parameter is unknown, repeated, empty, missing or has a value that is not allowed.
        """
        texts = [(name, text) for name, text in self._texts(request) if self._is_known(name)]
        given: dict[str, Any] = {}
        for name, text in texts:
            if name in given:
                raise InvalidQuery(f"The query parameter {name} is repeated. Send it once.")
            given[name] = _parsed(self._by_name[name], text)
        for parameter in self._by_name.values():
            if parameter.is_required and parameter.name not in given:
                raise InvalidQuery(f"The query parameter {parameter.name} is missing. Send {parameter.allowed}.")
        return Values(given, texts)

    def _texts(self, request: Request) -> list[tuple[str, str]]:
        query: bytes = request.scope["query_string"]
        errors = "replace" if self._ignores_others else "strict"
        try:
            return parse_qsl(query.decode("ascii", errors), keep_blank_values=True, errors=errors)
        except UnicodeDecodeError as error:
            shown = quoted(query.decode(errors="backslashreplace"))
            raise InvalidQuery(
                f"The query {shown} is not percent-encoded UTF-8. Percent-encode each byte that is not ASCII."
            ) from error

    def _is_known(self, name: str) -> bool:
        """Return whether a parameter has this name. Raises InvalidQuery if not, unless other names are ignored."""
        if name in self._by_name:
            return True
        if self._ignores_others:
            return False
        raise InvalidQuery(self._refused.get(name) or f"The query parameter {quoted(name)} is unknown. {self._all()}")

    def _all(self) -> str:
        names = list(self._by_name)
        if not names:
            return "This operation has no query parameters."
        return f"The query {agreeing(len(names), 'parameter is', 'parameters are')} {_series(names, 'and')}."


def choice[ChoiceT: StrEnum, DefaultT](
    name: str, choices: type[ChoiceT], default: DefaultT, description: str
) -> Parameter[ChoiceT | DefaultT]:
    """Return a parameter that is one of a few words."""
    words = [choice.value for choice in choices]
    schema: dict[str, Any] = {"type": "string", "enum": words}
    if default is not None:
        schema["default"] = str(default)
    return Parameter(name, description, choices, _series(words, "or"), schema, default)


def word(name: str, words: Collection[str], description: str) -> Parameter[str | None]:
    """Return a parameter that is one of a few `words`, for which there is no enumeration."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    schema = {"type": "string", "enum": list(words)}
    return Parameter(name, description, parse, _series(list(words), "or"), schema, None)


def flag(name: str, description: str) -> Parameter[bool | None]:
    """Return a parameter that is true or false."""
    values = {"true": True, "false": False}

    def parse(text: str) -> bool:
        if text not in values:
            raise ValueError(text)
        return values[text]

    return Parameter(name, description, parse, "true or false", {"type": "boolean"}, None)


def whole_number(name: str, lowest: int, highest: int, default: int, description: str) -> Parameter[int]:
    """Return a parameter that is a whole number between two limits."""

    def parse(text: str) -> int:
        if not _WHOLE_NUMBER.fullmatch(text) or not lowest <= int(text) <= highest:
            raise ValueError(text)
        return int(text)

    schema = {"type": "integer", "minimum": lowest, "maximum": highest, "default": default}
    return Parameter(name, description, parse, f"a whole number from {lowest:,} to {highest:,}", schema, default)


def identifier(name: str, description: str, *, is_required: bool = False) -> Parameter[str | None]:
    """Return a parameter that is an identifier, or the beginning of one."""

    def parse(text: str) -> str:
        if not is_identifier(text):
            raise ValueError(text)
        return text

    schema = {"type": "string", "minLength": 1, "maxLength": IDENTIFIER_MAX, "pattern": f"^{IDENTIFIER}$"}
    return Parameter(name, description, parse, IDENTIFIER_FORM, schema, None, is_required)


def instant(name: str, description: str) -> Parameter[Instant | None]:
    """Return a parameter that is a time with an offset."""
    schema = _INSTANT | {"examples": ["2026-11-20T08:00:00Z"]}
    return Parameter(name, description, instant_of, _INSTANT_FORM, schema, None)


def position_or_instant(name: str, description: str) -> Parameter[int | Instant | None]:
    """Return a parameter that is a position in the log, or a time with an offset."""

    def parse(text: str) -> int | Instant:
        return int(text) if _WHOLE_NUMBER.fullmatch(text) else instant_of(text)

    schema = {
        "oneOf": [{"type": "integer", "minimum": 0, "maximum": MAX_POSITION}, _INSTANT],
        "examples": [81204, "2026-11-22T12:00:00Z"],
    }
    return Parameter(name, description, parse, f"a position, such as 81204, or {_INSTANT_FORM}", schema, None)


def position_or_head(name: str, description: str) -> Parameter[int | Head | None]:
    """Return a parameter that is a position in the log, or the word `head`."""

    def parse(text: str) -> int | Head:
        return int(text) if _WHOLE_NUMBER.fullmatch(text) else Head(text)

    schema = {
        "oneOf": [{"type": "integer", "minimum": 0, "maximum": MAX_POSITION}, {"type": "string", "enum": list(Head)}],
        "examples": [0, 81204, "head"],
    }
    return Parameter(name, description, parse, "a position, such as 0 or 81204, or head", schema, None)


def partition(name: str, description: str) -> Parameter[Partition | None]:
    """Return a parameter that is one of several partitions, such as 0/4."""

    def parse(text: str) -> Partition:
        number, slash, count = text.partition("/")
        if not slash or not _WHOLE_NUMBER.fullmatch(number) or not _WHOLE_NUMBER.fullmatch(count):
            raise ValueError(text)
        found = Partition(int(number), int(count))
        if not found.number < found.count <= MAX_PARTITIONS:
            raise ValueError(text)
        return found

    schema = {"type": "string", "pattern": "^(0|[1-9][0-9]{0,3})/[1-9][0-9]{0,3}$", "examples": ["0/4"]}
    allowed = f"i/n, such as 0/4, with n from 1 to {MAX_PARTITIONS:,} and i from 0 to n - 1"
    return Parameter(name, description, parse, allowed, schema, None)


def page_token(name: str, description: str) -> Parameter[str | None]:
    """Return a parameter that is a page token, which only its list can check."""
    return Parameter(name, description, str, "the `next` of the page before", {"type": "string", "minLength": 1}, None)


def _parsed(parameter: Parameter[Any], text: str) -> Any:
    if not text:
        end = "." if parameter.is_required else ", or omit it."
        raise InvalidQuery(f"The query parameter {parameter.name} is empty. Send {parameter.allowed}{end}")
    try:
        return parameter.parse(text)
    except ValueError as error:
        raise InvalidQuery.of(parameter.name, text, parameter.allowed) from error


def _series(words: list[str], conjunction: str) -> str:
    *others, last = words
    return f"{', '.join(others)} {conjunction} {last}" if others else last
