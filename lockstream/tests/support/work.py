"""Count the work of a block of code in steps and bytes, which do not depend on the speed of the machine.

A step is a call or a jump in Python code, so each repetition takes at least one. Bytes are counted where C code gets a
text: the whole text for methods of texts and for decoders, and for a regular expression the part that it has matched.
A text that was copied for a regular expression counts as a whole.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any

import msgspec
import pydantic
import pytest

_TOOL = sys.monitoring.PROFILER_ID
_EVENTS = sys.monitoring.events

_FREE = (len, isinstance, str.startswith, str.endswith, bytes.startswith, bytes.endswith)
"""Functions that do not look at all of a text."""

_COUNTED = re.Pattern, msgspec.json.Decoder, json.JSONDecoder, pydantic.TypeAdapter
"""Classes of constants whose methods get texts."""


class Work:
    """The work of a block of code."""

    def __init__(self) -> None:
        self.steps = self.bytes = 0

    def count_step(self, code: CodeType, *places: int) -> None:
        """Count a jump in Python code, or the start of a Python function."""
        self.steps += 1

    def count_call(self, code: CodeType, place: int, called: object, first: Any) -> None:
        """Count a call, and the text that C code gets as its first argument or as the subject of a method."""
        self.steps += 1
        is_text = isinstance(first, bytes | bytearray | str)
        if is_text and code.co_filename != __file__ and not isinstance(called, FunctionType) and called not in _FREE:
            self.bytes += len(first)


@contextmanager
def counted_work(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> Iterator[Work]:
    """Count the work of all threads in the block, including that of the decoders and expressions in `modules`."""
    work = Work()
    callbacks: dict[int, Callable[..., object]] = {
        _EVENTS.PY_START: work.count_step,
        _EVENTS.PY_RESUME: work.count_step,
        _EVENTS.JUMP: work.count_step,
        _EVENTS.BRANCH: work.count_step,
        _EVENTS.CALL: work.count_call,
    }
    sys.monitoring.use_tool_id(_TOOL, "work")
    try:
        with monkeypatch.context() as patched:
            for module in modules:
                for name, value in list(vars(module).items()):
                    if isinstance(value, _COUNTED):
                        counted = _Pattern(value, work) if isinstance(value, re.Pattern) else _Decoder(value, work)
                        patched.setattr(module, name, counted)
            for event, callback in callbacks.items():
                sys.monitoring.register_callback(_TOOL, event, callback)
            sys.monitoring.set_events(_TOOL, sum(callbacks))
            yield work
    finally:
        sys.monitoring.set_events(_TOOL, 0)
        for event in callbacks:
            sys.monitoring.register_callback(_TOOL, event, None)
        sys.monitoring.free_tool_id(_TOOL)


class _Decoder:
    """A decoder whose methods count their text."""

    def __init__(self, decoder: Any, work: Work) -> None:
        self._decoder, self._work = decoder, work

    def __getattr__(self, name: str) -> Any:
        def counted(text: bytes | str, *arguments: Any, **named: Any) -> Any:
            self._work.bytes += len(text)
            return method(text, *arguments, **named)

        method = getattr(self._decoder, name)
        return counted


class _Pattern:
    """A regular expression whose methods count the part of the text that they have passed."""

    def __init__(self, pattern: re.Pattern[Any], work: Work) -> None:
        self._pattern, self._work = pattern, work
        self._last: object = None

    def match(self, text: Any, place: int = 0) -> Any:
        return self._counted(self._pattern.match, text, place)

    def fullmatch(self, text: Any, place: int = 0) -> Any:
        return self._counted(self._pattern.fullmatch, text, place)

    def search(self, text: Any, place: int = 0) -> Any:
        return self._counted(self._pattern.search, text, place)

    def finditer(self, text: Any, place: int = 0) -> Iterator[Any]:
        self._note(text)
        for found in self._pattern.finditer(text, place):
            self._work.bytes += found.end() - place
            place = found.end()
            yield found
        self._work.bytes += len(text) - place

    def sub(self, replacement: Any, text: Any) -> Any:
        self._work.bytes += len(text)
        return self._pattern.sub(replacement, text)

    def _counted(self, method: Any, text: Any, place: int) -> Any:
        self._note(text)
        found = method(text, place)
        self._work.bytes += (found.end() if found else len(text)) - place
        return found

    def _note(self, text: Any) -> None:
        """Count a text as a whole unless it is the one of the call before: it was copied."""
        if text is not self._last:
            self._last = text
            self._work.bytes += len(text)
