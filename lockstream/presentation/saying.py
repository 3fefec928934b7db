"""What the command line says to people: on standard error, and never as markup."""

from rich.console import Console


def say(text: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False).print(text)


def complain(text: str) -> None:
    say(f"lockstream: {text}")
