"""The files of a TLS certificate: each mistake is one sentence, and a renewal is loaded whole or not at all."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from lockstream.presentation.server.tls import Tls, TlsRefused
from lockstream.settings import Settings
from lockstream.tests.presentation.server.certificates import Certificate, needs_openssl, new_certificate, openssl
from lockstream.tests.support.processes import command

pytestmark = needs_openssl


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return new_certificate(tmp_path, "server")


def swap(certificate: Certificate) -> str:
    text = certificate.path.read_bytes()
    certificate.path.write_bytes(certificate.key.read_bytes())
    certificate.key.write_bytes(text)
    return "LOCKSTREAM_TLS_CERT: {path} holds no PEM block of the certificate and its chain."


def remove_certificate(certificate: Certificate) -> str:
    certificate.path.unlink()
    return "LOCKSTREAM_TLS_CERT: {path} cannot be read: No such file or directory. Name a PEM file"


def remove_key(certificate: Certificate) -> str:
    certificate.key.unlink()
    return "LOCKSTREAM_TLS_KEY: {key} cannot be read: No such file or directory. Name a PEM file"


def replace_key_by_folder(certificate: Certificate) -> str:
    certificate.key.unlink()
    certificate.key.mkdir()
    return "LOCKSTREAM_TLS_KEY: {key} cannot be read: Is a directory."


def empty_key(certificate: Certificate) -> str:
    certificate.key.write_bytes(b"")
    return "LOCKSTREAM_TLS_KEY: {key} holds no PEM block of the key of the certificate."


def take_key_of_another(certificate: Certificate) -> str:
    another = new_certificate(certificate.path.parent, "another")
    certificate.key.write_bytes(another.key.read_bytes())
    return "The key in {key} (LOCKSTREAM_TLS_KEY) does not belong to the certificate in {path} (LOCKSTREAM_TLS_CERT)."


def take_key_of_another_kind(certificate: Certificate) -> str:
    openssl("genpkey", "-algorithm", "RSA", "-out", certificate.key)
    return "The key in {key} (LOCKSTREAM_TLS_KEY) does not belong to the certificate in {path} (LOCKSTREAM_TLS_CERT)."


def encrypt_key(certificate: Certificate) -> str:
    encrypted = certificate.key.with_suffix(".encrypted")
    openssl("pkey", "-in", certificate.key, "-aes256", "-passout", "pass:secret", "-out", encrypted)
    encrypted.replace(certificate.key)
    return "LOCKSTREAM_TLS_KEY: the key in {key} is encrypted. Decrypt it"


def truncate_certificate(certificate: Certificate) -> str:
    text = certificate.path.read_bytes()
    certificate.path.write_bytes(text[:100] + b"\n-----END CERTIFICATE-----\n")
    return "The certificate in {path} (LOCKSTREAM_TLS_CERT) cannot be used with the key in {key} (LOCKSTREAM_TLS_KEY)"


MISTAKES = [
    swap,
    remove_certificate,
    remove_key,
    replace_key_by_folder,
    empty_key,
    take_key_of_another,
    take_key_of_another_kind,
    encrypt_key,
    truncate_certificate,
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_files_that_cannot_be_used_are_refused_with_the_reason(
    certificate: Certificate, mistake: Callable[[Certificate], str]
) -> None:
    expected = mistake(certificate).format(path=certificate.path, key=certificate.key)
    with pytest.raises(TlsRefused) as refused:
        Tls(*certificate)
    assert str(refused.value).startswith(expected)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_broken_renewal_keeps_the_last_certificate_and_says_what_to_do(
    certificate: Certificate, caplog: pytest.LogCaptureFixture, mistake: Callable[[Certificate], str]
) -> None:
    # given a certificate in use
    tls = Tls(*certificate)
    context = tls.context
    expected = mistake(certificate).format(path=certificate.path, key=certificate.key)
    # when broken files take its place, and it is reloaded
    tls.reload()
    # then one error without a traceback says so
    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert record.message.startswith(expected)
    assert record.message.endswith("The last certificate stays in use. Correct the files, and send SIGHUP again.")
    assert record.exc_info is None
    assert tls.context is context


def test_the_names_and_the_end_of_a_certificate_are_logged(
    certificate: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        Tls(*certificate)
    assert "is for localhost, 127.0.0.1, and valid until " in caplog.text


def test_an_expired_certificate_is_used_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Tls(*new_certificate(tmp_path, "expired", days=-1))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "expired.pem has expired on " in record.message
    assert record.message.endswith("Renew it, and send SIGHUP.")


def test_without_settings_there_is_no_tls() -> None:
    assert Tls.of(Settings()) is None


def test_a_certificate_needs_a_key_and_a_key_a_certificate(certificate: Certificate) -> None:
    with pytest.raises(TlsRefused, match=r"LOCKSTREAM_TLS_CERT is set, and LOCKSTREAM_TLS_KEY is not. Set both"):
        Tls.of(Settings(tls_cert=certificate.path))
    with pytest.raises(TlsRefused, match=r"LOCKSTREAM_TLS_KEY is set, and LOCKSTREAM_TLS_CERT is not. Set both"):
        Tls.of(Settings(tls_key=certificate.key))


def test_a_server_with_a_wrong_certificate_does_not_start(certificate: Certificate, log_path: Path) -> None:
    take_key_of_another(certificate)
    path, key = str(certificate.path), str(certificate.key)
    ended = command(log_path, "serve", LOCKSTREAM_TLS_CERT=path, LOCKSTREAM_TLS_KEY=key)
    assert ended.returncode == 1
    assert ended.stderr.decode().splitlines()[-1].startswith("lockstream: The key in ")
    assert b"Traceback" not in ended.stderr
    assert not log_path.exists()
