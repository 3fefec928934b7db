"""`python -m lockstream.tests.fuzz SECONDS [PROPERTY]` searches for bytes for which a property does not hold.

The search is led by the code that the bytes reach (atheris). Findings are written to `fuzz/` in the working directory,
and so are the inputs that reached new code: the next search begins with them.
"""

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path("fuzz")
MAX_INPUT_BYTES = 4096


def main() -> None:
    if find_spec("atheris") is None:
        sys.exit(
            "atheris, which leads the search, has no wheel for this Python on this machine. It has wheels for CPython "
            "3.12 to 3.14 on Linux on x86-64. `make test` checks the same properties with Hypothesis."
        )
    seconds, *named = sys.argv[1:]
    if named:
        _fuzz(named[0], int(seconds))
    else:
        _fuzz_each(int(seconds))


def _fuzz_each(seconds: int) -> None:
    """Fuzz each property in its own process, because only modules imported after atheris are instrumented."""
    from lockstream.tests.fuzz.properties import PROPERTIES

    for holds in PROPERTIES:
        name = holds.__name__
        share = str(max(1, seconds // len(PROPERTIES)))
        if subprocess.run([sys.executable, "-m", "lockstream.tests.fuzz", share, name], check=False).returncode:
            sys.exit(f"{name} does not hold. The bytes are in {FOLDER}/, in a file whose name begins with {name}-.")


def _fuzz(name: str, seconds: int) -> None:
    """Fuzz one property. This function does not return: atheris ends the process."""
    atheris = import_module("atheris")  # it has no types, and is not installed on every machine
    with atheris.instrument_imports(include=["lockstream"]):
        from lockstream.tests.fuzz import corpus, properties

    (holds,) = (each for each in properties.PROPERTIES if each.__name__ == name)
    inputs, tokens = FOLDER / name, FOLDER / "tokens"
    inputs.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(corpus.SEEDS):
        (inputs / f"seed-{number}").write_bytes(seed)
    tokens.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n' for token in corpus.TOKENS))
    limits = [f"-max_total_time={seconds}", f"-max_len={MAX_INPUT_BYTES}", "-timeout=10"]
    options = [*limits, f"-dict={tokens}", "-verbosity=1", f"-artifact_prefix={FOLDER}/{name}-"]
    atheris.Setup(["fuzz", *options, str(inputs)], holds)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
