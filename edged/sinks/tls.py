"""TLS to a server: the keys of a section, their files, and the SSL context made of these."""

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
"""OpenSSL's codes for a certificate that is signed by itself, or by somebody unknown."""

TLS_KEYS: dict[str, Any] = {
    "ca_file": key(
        "Trusted certificates",
        "PEM file of who may have signed the server's certificate. Without it whom the system "
        "trusts.",
        "/etc/edged/ca.pem",
        **FILE,
    ),
    "certificate_file": key(
        "Client certificate",
        "PEM file that is shown to the server. Without it none is.",
        "/etc/edged/pi.pem",
        **FILE,
    ),
    "key_file": key(
        "Its key",
        "PEM file that has no password. Without it there is no client certificate.",
        "/etc/edged/pi.key",
        **FILE,
    ),
}
TLS_PAIR = {"certificate_file": ["key_file"], "key_file": ["certificate_file"]}
"""Which of them goes with which: `dependentRequired` of the schema."""


@dataclass(frozen=True, slots=True)
class TlsClient:
    """PEM files. ca: who is trusted, None for whom the system trusts. certificate: what the client
    shows, with its key; None for nothing."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def parse_tls(data: Mapping[str, Any], base: Path) -> TlsClient:
    """data: a section with TLS_KEYS. base: where relative paths start."""
    files = (data.get(key) for key in TLS_KEYS)
    return TlsClient(*(None if file is None else path_from(file, base) for file in files))


def tls_context(tls: TlsClient) -> ssl.SSLContext:
    """Certificates and host names are checked, always. Raises EdgedError for a file without use."""
    try:
        context = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
    except OSError as error:
        fix = "name a PEM file with the certificates of those whom you trust"
        raise _useless("ca_file", tls.ca, error, fix) from None
    if tls.certificate is not None and tls.key is not None:
        _check_readable("certificate_file", tls.certificate)
        _check_readable("key_file", tls.key)
        try:
            context.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
        except OSError as error:
            fix = "both are PEM files; the key has no password, and the certificate comes first"
            keys = f"certificate_file, with key_file {tls.key}"
            raise _useless(keys, tls.certificate, error, fix) from None
    return context


class _Client(Protocol):
    @property
    def tls(self) -> TlsClient | None: ...


def try_tls(config: _Client) -> None:
    """Raises EdgedError for a file without use."""
    if config.tls is not None:
        tls_context(config.tls)


def _check_readable(key: str, file: Path) -> None:
    """OpenSSL does not say which of the two it could not read."""
    try:
        read_file(file, 1)
    except OSError as error:
        fix = "name a PEM file that the user edged runs as can read"
        raise _useless(key, file, error, fix) from None


def _useless(keys: str, file: Path | None, error: OSError, fix: str) -> EdgedError:
    if isinstance(error, ssl.SSLError):
        reason = error.reason or "no PEM, or not of this kind"
    else:
        reason = error.strerror or type(error).__name__
    return EdgedError(f"cannot be used for TLS as {keys}", where=file, got=reason, fix=fix)


def tls_trouble(error: ssl.SSLError, plain: str) -> str:
    """What a peer's TLS failed of. plain: the URL's beginning for a peer that speaks none."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = f"its certificate is not accepted: {error.verify_message}"
        if error.verify_code in _UNKNOWN_AUTHORITY:
            said += "; if you trust it, name it, or the authority that signed it, as ca_file"
        return said
    reason = error.reason or str(error)
    if "ALERT" in reason:  # the peer's own word
        return f"TLS failed: {reason}"
    return f"TLS failed: {reason}; if that port speaks no TLS, write {plain}"
