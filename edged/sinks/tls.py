"""TLS client: keys of the configuration, their files, and the SSL context."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edged.atomic_file import read_file
from edged.document.parts import FILE, key
from edged.document.values import path_from
from edged.errors import EdgedError

_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
"""OpenSSL's codes for a self-signed certificate or an unknown issuer."""

TLS_KEYS: dict[str, Any] = {
    "ca_file": key(
        "CA bundle",
        "CA bundle (PEM). Default: the system's trust store.",
        "/etc/edged/ca.pem",
        **FILE,
    ),
    "certificate_file": key(
        "Client certificate",
        "Client certificate (PEM). Default: none.",
        "/etc/edged/pi.pem",
        **FILE,
    ),
    "key_file": key(
        "Client key",
        "Key of the client certificate, without a password (PEM). Default: none.",
        "/etc/edged/pi.key",
        **FILE,
    ),
}
TLS_PAIR = {"certificate_file": ["key_file"], "key_file": ["certificate_file"]}
"""`dependentRequired` of the schema."""


@dataclass(frozen=True, slots=True)
class TlsClient:
    """PEM files. ca: CA bundle, None for the system's trust store. certificate, key: of the client,
    or None."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def parse_tls(data: Mapping[str, Any], base: Path) -> TlsClient:
    """data: a section with TLS_KEYS. base: where relative paths start."""
    files = (data.get(key) for key in TLS_KEYS)
    return TlsClient(*(None if file is None else path_from(file, base) for file in files))


def tls_context(tls: TlsClient) -> ssl.SSLContext:
    """A context that verifies certificate and host name. Raises EdgedError for an unusable file."""
    if tls.ca is not None:
        _check_readable("ca_file", tls.ca)
    try:
        context = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
    except OSError as error:
        fix = "name a PEM file with the certificates of trusted CAs"
        raise _useless("ca_file", tls.ca, error, fix) from None
    if tls.certificate is not None and tls.key is not None:
        _check_readable("certificate_file", tls.certificate)
        _check_readable("key_file", tls.key)
        try:
            context.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
        except OSError as error:
            fix = "use PEM files: a key without a password, and the certificate before its chain"
            keys = f"certificate_file, with key_file {tls.key}"
            raise _useless(keys, tls.certificate, error, fix) from None
    return context


class _Client(Protocol):
    @property
    def tls(self) -> TlsClient | None: ...


def try_tls(config: _Client) -> None:
    """Raises EdgedError for an unusable file."""
    if config.tls is not None:
        tls_context(config.tls)


def _check_readable(key: str, file: Path) -> None:
    """OpenSSL waits for a pipe, and does not report which of two files it could not read."""
    try:
        read_file(file, 1)
    except OSError as error:
        fix = "name a PEM file that the user edged runs as can read"
        raise _useless(key, file, error, fix) from None


def _useless(keys: str, file: Path | None, error: OSError, fix: str) -> EdgedError:
    if isinstance(error, ssl.SSLError):
        reason = error.reason or "not PEM, or of another kind"
    else:
        reason = error.strerror or type(error).__name__
    return EdgedError(f"cannot be used for TLS as {keys}", where=file, got=reason, fix=fix)


def tls_trouble(error: ssl.SSLError, plain: str) -> str:
    """Why TLS failed. plain: URL scheme for a server without TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"certificate verification failed: {error.verify_message}"
        if error.verify_code in _UNKNOWN_AUTHORITY:
            reason += "; if you trust it, set ca_file to it or to its CA"
        return reason
    reason = error.reason or str(error)
    if "ALERT" in reason:  # sent by the peer
        return f"TLS failed: {reason}"
    return f"TLS failed: {reason}; if that port does not use TLS, write {plain}"
