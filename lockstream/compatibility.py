"""Checks that the private parts of other packages, on which Lockstream depends, still exist.

`pyproject.toml` caps those packages to the versions that were tested. If another version is installed all the same,
the start is refused and the error names the missing part. Without the checks, an AttributeError would follow later.
"""

from importlib.metadata import version

from lockstream.core.errors import StartRefused


class UnsupportedPackage(StartRefused):
    """Raised when an installed package lacks a private part that Lockstream depends on."""

    def __init__(self, package: str, missing: str) -> None:
        super().__init__(
            f"{package} {version(package)} lacks {missing}, which Lockstream depends on. Install the version that "
            "requirements.txt names."
        )


def require_parts(package: str, owner: object, *names: str) -> None:
    """Check that `owner`, a module, class or object of `package`, has attributes of these names.

    Raises:
        UnsupportedPackage: an attribute is missing.
    """
    for name in names:
        if not hasattr(owner, name):
            raise UnsupportedPackage(package, f"{getattr(owner, '__name__', type(owner).__name__)}.{name}")
