"""Runs the command line as `python -m lockstream`. An old Python can parse this module, and says that it is old."""

import sys

OLDEST_PYTHON = (3, 12)


def run(arguments: "list[str] | None" = None) -> None:
    """Run a command, by default with the arguments of the process.

    An old Python, or one without the packages of Lockstream, exits with a sentence instead of a traceback.
    """
    if sys.version_info < OLDEST_PYTHON:
        version = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"lockstream: This is Python {version}, and Lockstream needs 3.12 or newer. Run it with a newer one, such "
            "as `python3.12`."
        )
    try:
        from lockstream.presentation.cli.main import main  # noqa: PLC0415  # an old Python cannot parse it

        main(arguments)
    except ModuleNotFoundError as missing:
        package = str(missing.name).partition(".")[0]
        if package == "lockstream":
            raise
        sys.exit(
            f"lockstream: The package {package} is not installed. Run `pip install -r requirements.txt`, or start with "
            "`make run`, which installs everything."
        )


if __name__ == "__main__":
    run()
