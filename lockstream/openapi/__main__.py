"""`python -m lockstream.openapi` writes the contract that the application serves to `openapi.yaml` beside this file."""

from pathlib import Path
from typing import Any

import yaml

from lockstream.main import app

CONTRACT = Path(__file__).with_name("openapi.yaml")


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
    contract = yaml.dump(app.openapi(), Dumper=_Readable, sort_keys=False, allow_unicode=True, width=120)
    CONTRACT.write_text(contract, encoding="utf-8")


if __name__ == "__main__":
    main()
