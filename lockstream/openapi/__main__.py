"""`python -m lockstream.openapi` writes the contract that the application serves into this folder.

`openapi.yaml` is the whole contract, and `asyncapi.yaml` describes the stream of the feed.
"""

from pathlib import Path
from typing import Any

import yaml

from lockstream.main import app
from lockstream.openapi.streams import describe_stream

FOLDER = Path(__file__).parent


class _Readable(yaml.SafeDumper):
    """Text of several lines stands as such, a whole number without a point, and nothing is an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Readable, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def _number(dumper: _Readable, number: float) -> yaml.ScalarNode:
    return dumper.represent_int(int(number)) if number.is_integer() else dumper.represent_float(number)


_Readable.add_representer(str, _text)
_Readable.add_representer(float, _number)


def main() -> None:
    contract = app.openapi()
    for name, content in {"openapi": contract, "asyncapi": describe_stream(contract)}.items():
        text = yaml.dump(content, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=120)
        (FOLDER / f"{name}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
