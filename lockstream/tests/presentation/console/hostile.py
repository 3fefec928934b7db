"""Identifiers that try to become something else on a page, and the story of a network that has them."""

import json
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

from lockstream.presentation.console.pages import PAGES
from lockstream.tests.support.builders import (
    Body,
    deposited,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

PLAIN = "plain"

IDENTIFIERS = (
    *(
        "<img src=x onerror=alert(1)>",
        "\"'><script>alert(1)<",
        "' onmouseover='alert(1)",
        '" autofocus onfocus="alert(1)',
    ),
    *("{{7*7}}", "{% raw %}", "${7*7}", "javascript:alert(1)", "data:text,<script>", "<!--", "]]>", "&lt;b&gt;&amp;"),
    *(
        "\u202eabc\u2066",
        "\u202b<b>",
        "😀" * 128,
        "a" * 128,
        "<" * 128,
        " ",
        "  x  ",
        "?q=1#top",
        "%2e%2e",
        "50%",
        "a+b",
    ),
    *("\\", "`", "\u2028", "\ufeff", "é\u0301", "-1", "null", "__proto__", "constructor", "lockers", "*", "a,b;c"),
)
"""Identifiers that the rules allow."""


class Subject(NamedTuple):
    """A locker whose compartment, reservation and payload have the same text."""

    text: str

    @property
    def reservation_id(self) -> str:
        """Reservations are unique in the whole network."""
        return self.text

    def story(self) -> list[Body]:
        """Return accepted and refused events."""
        given = {"locker": self.text}
        return [
            registered(self.text, **given, note=self.text),
            registered("c2", **given, **{self.text: self.text}),
            reserved(self.text, self.text, **given),
            deposited(self.text, **given, note=[self.text]),
            fault_reported(4, self.text, **given, note={"x": self.text}),
            picked_up(f"{self.text[:120]} never", **given),
        ]

    def urls(self, event_ids: dict[str, str]) -> Iterator[str]:
        """Yield the address of each page about the locker, and of all lists with the text as their filter.

        `event_ids` are those of the story, the refused one as `refused`, and one of the others as `accepted`.
        """
        value = quote(self.text, safe="")
        for page in PAGES:
            ids = {
                **dict.fromkeys(("locker_id", "compartment_id", "reservation_id"), value),
                "event_id": event_ids["refused" if page.path.startswith("/quarantine") else "accepted"],
                "key_id": "k3yEx4mp",
            }
            yield f"/console{page.path.format(**ids)}"
            if "{" not in page.path:
                yield from (f"/console{page.path}?{name}={value}" for name in ("q", "locker_id", "after", value))
                yield f"/console{page.path}?limit=1"


SUBJECTS = [Subject(text) for text in IDENTIFIERS]

ODD_VALUES = (
    *('"high"', '"3"', '""', '"../x"', "null", "true", "0", "5", "-1", "1.5", "1e999", "9" * 40),
    *("[]", "[3]", "{}", '{"compartment_id": 1}', "[" * 60 + "]" * 60),
)
"""JSON texts of values that a known member of a payload has, in an event whose type has no such member."""


def story_with_odd_members(locker: str, value: str) -> list[bytes]:
    """Return events that are all accepted. Those members that their types lack have a value, as a JSON text."""
    given = {"locker": locker}
    story = [
        registered("c1", **given, reservation_id="?", severity="?", fault_event_id="?", status="?"),
        reserved(f"{locker} r", "c1", **given, severity="?", fault_event_id="?"),
        deposited(f"{locker} r", **given, compartment_id=None, severity="?", fault_event_id="?"),
        fault := fault_reported(4, "c1", **given, reservation_id="?", fault_event_id="?"),
        fault_cleared(fault, "c1", **given, reservation_id="?", severity="?"),
    ]
    return [json.dumps(event).replace('"?"', value).encode() for event in story]
