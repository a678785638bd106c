"""TLS context of the HTTP server."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from edged.atomic_file import read_file
from edged.errors import EdgedError
from edged.web.options import Tls

_MOST_BYTES = 1024 * 1024
"""A certificate chain takes some kilobytes."""


def server_context(tls: Tls) -> ssl.SSLContext:
    """Raises EdgedError when the files cannot be read, are not PEM, or do not match."""
    _read(tls.certificate)
    _read(tls.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a password, OpenSSL would prompt for that of an encrypted key.
        context.load_cert_chain(tls.certificate, tls.key, password="")
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        raise EdgedError(
            "certificate and key do not match" if mismatch else "cannot load certificate and key",
            where=tls.certificate,
            got=tls.key if mismatch else error.reason or "not PEM",
            fix="use PEM files: a key without a password, and the certificate before its chain",
        ) from None
    return context


def fingerprint(tls: Tls) -> bytes:
    """SHA-256 of both files' current content. Raises EdgedError."""
    return hashlib.sha256(_read(tls.certificate) + b"\0" + _read(tls.key)).digest()


def _read(path: Path) -> bytes:
    try:
        return read_file(path, _MOST_BYTES)
    except OSError as error:
        fix = "under http.tls, name a file that the user edged runs as can read"
        raise EdgedError("cannot be read", where=path, got=error.strerror, fix=fix) from None
