"""Whom a sink trusts, and what it shows of itself: files become an SSL context."""

from __future__ import annotations

import ssl
from pathlib import Path

from edged.config.results import TlsClient
from edged.errors import EdgedError


def tls_context(tls: TlsClient) -> ssl.SSLContext:
    """Certificates and host names are checked, always. Raises EdgedError for a file without use."""
    try:
        context = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
    except OSError as error:
        raise _useless(tls.ca, error) from None
    if tls.certificate is not None and tls.key is not None:
        try:
            context.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
        except OSError as error:
            raise _useless(tls.certificate, error) from None
    return context


def _useless(file: Path | None, error: OSError) -> EdgedError:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return EdgedError("cannot be used for TLS", where=file, got=reason)
