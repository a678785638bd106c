"""Certificates for tests, made by the openssl command: an authority and what it signs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pair:
    certificate: Path
    key: Path


class Authority:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca, self._key = folder / "ca.pem", folder / "ca.key"
        extensions = ("-addext", "basicConstraints=critical,CA:TRUE")
        extensions += ("-addext", "keyUsage=critical,keyCertSign")
        self._openssl(
            *("req", "-x509", "-subj", "/CN=Test CA", "-days", "30", *extensions),
            *self._new_key(self._key),
            *("-out", self.ca),
        )

    def certificate(self, name: str, *, expired: bool = False) -> Pair:
        """For 127.0.0.1 and localhost."""
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        self._openssl(
            *("req", "-subj", f"/CN={name}", *self._new_key(pair.key), "-out", request),
        )
        self._openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key),
            *("-CAcreateserial", "-days", "-1" if expired else "30"),
            *("-extfile", extensions, "-out", pair.certificate),
        )
        return pair

    def _new_key(self, file: Path) -> tuple[str | Path, ...]:
        return (
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            file,
        )

    def _openssl(self, *arguments: str | Path) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
