"""TLS certificates that sign themselves, made by openssl."""

import subprocess
from pathlib import Path
from typing import NamedTuple

from lockstream.tests.support.requirements import requires_program

needs_openssl = requires_program("openssl")

CURVE = "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"
NAMES = "DNS:localhost,IP:127.0.0.1"


class Certificate(NamedTuple):
    """The files of a certificate and its key."""

    path: Path
    key: Path

    @property
    def settings(self) -> dict[str, str]:
        return {"LOCKSTREAM_TLS_CERT": str(self.path), "LOCKSTREAM_TLS_KEY": str(self.key)}

    def replace_by(self, other: "Certificate") -> None:
        """Put another certificate into the place of this one, as a renewal does."""
        self.path.write_bytes(other.path.read_bytes())
        self.key.write_bytes(other.key.read_bytes())


def new_certificate(folder: Path, name: str, days: int = 30) -> Certificate:
    """Make a certificate of this machine that is valid for `days` from now, or was until then."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    request = folder / f"{name}.csr"
    subject = "-subj", f"/CN={name}", "-addext", f"subjectAltName={NAMES}"
    openssl("req", "-new", *CURVE, "-nodes", "-keyout", made.key, *subject, "-out", request)
    signed = "-signkey", made.key, "-copy_extensions", "copyall", "-days", days
    openssl("x509", "-req", "-in", request, *signed, "-out", made.path)
    return made


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
