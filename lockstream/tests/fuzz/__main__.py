"""`python -m lockstream.tests.fuzz SECONDS [PROPERTY]` looks for bytes of which a property of the decoders is not true.

It is led by what code the bytes reach (atheris). What it finds is written to `fuzz/`, in the working directory, and
what was worth keeping of its way there is where it begins the next time.
"""

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

WHERE = Path("fuzz")
LONGEST = 4096
"""Bytes of an input."""


def main() -> None:
    if find_spec("atheris") is None:
        sys.exit(
            "atheris, which leads the search, has no wheel for this Python on this machine; it has them for CPython "
            "3.12 to 3.14 on Linux on x86-64. `make test` holds the decoders to the same, with what Hypothesis finds."
        )
    seconds, *wanted = sys.argv[1:]
    if wanted:
        _fuzz(wanted[0], int(seconds))
    else:
        _fuzz_each(int(seconds))


def _fuzz_each(seconds: int) -> None:
    """In a process of its own: what was imported before it could be instrumented is not."""
    from lockstream.tests.fuzz.properties import PROPERTIES

    for holds in PROPERTIES:
        name = holds.__name__
        share = str(max(1, seconds // len(PROPERTIES)))
        if subprocess.run([sys.executable, "-m", "lockstream.tests.fuzz", share, name], check=False).returncode:
            sys.exit(f"{name} does not hold: the bytes are in {WHERE}/, in a file whose name begins with {name}-.")


def _fuzz(name: str, seconds: int) -> None:
    """Does not return: atheris ends the process."""
    atheris = import_module("atheris")  # it has no types, and is not there everywhere
    with atheris.instrument_imports(include=["lockstream"]):
        from lockstream.tests.fuzz import corpus, properties

    (holds,) = (each for each in properties.PROPERTIES if each.__name__ == name)
    kept, tokens = WHERE / name, WHERE / "tokens"
    kept.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(corpus.SEEDS):
        (kept / f"seed-{number}").write_bytes(seed)
    tokens.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n' for token in corpus.TOKENS))
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-dict={tokens}", "-timeout=10", "-verbosity=1"]
    atheris.Setup(["fuzz", *options, f"-artifact_prefix={WHERE}/{name}-", str(kept)], holds)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
