"""The certificate that the HTTP server shows; a renewed one is taken over while it runs."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from edged.atomic_file import read_file
from edged.errors import EdgedError
from edged.web.options import Tls

_MOST_BYTES = 1024 * 1024
"""A certificate with those that signed it takes some kilobytes."""


def server_context(tls: Tls) -> ssl.SSLContext:
    """Raises EdgedError when the files are not there, no PEM, or do not belong together."""
    _read(tls.certificate)
    _read(tls.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A password would be asked for at the terminal: this one makes such a key an error.
        context.load_cert_chain(tls.certificate, tls.key, password="")
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        raise EdgedError(
            "the certificate does not belong to the key"
            if mismatch
            else "certificate and key cannot be used",
            where=tls.certificate,
            got=tls.key if mismatch else error.reason or "no PEM",
            fix="both are PEM files; the key has no password, and the certificate comes first",
        ) from None
    return context


def fingerprint(tls: Tls) -> bytes:
    """Of the files as they are now. Raises EdgedError."""
    return hashlib.sha256(_read(tls.certificate) + b"\0" + _read(tls.key)).digest()


def _read(path: Path) -> bytes:
    try:
        return read_file(path, _MOST_BYTES)
    except OSError as error:
        fix = "name a file that the user edged runs as can read, under http.tls"
        raise EdgedError("cannot be read", where=path, got=error.strerror, fix=fix) from None
