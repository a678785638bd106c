"""Hashes of passwords and tokens, which the configuration holds instead of these.

Passwords can be guessed, so they use scrypt (RFC 7914), with the cost parameters in the hash;
`hashlib` has it. Tokens are 256 random bits, for which SHA-256 suffices.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from edged.errors import InputError

_N, _R, _P = 1 << 14, 8, 1
"""16 MB of memory; the cost that RFC 7914 gives for interactive logins."""
_MOST_MEMORY_BYTES = 64 * 1024 * 1024
_SCRYPT = re.compile(r"scrypt:(\d{1,7}):(\d{1,2}):(\d{1,2}):([\w-]{22}):([\w-]{43})", re.ASCII)
_TOKEN = re.compile(r"sha256:([0-9a-f]{64})")
LONGEST_PASSWORD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """Written `scrypt:N:r:p:salt:hash`, both in URL-safe base64 without padding."""

    n: int
    r: int
    p: int
    salt: bytes
    derived: bytes

    @classmethod
    def of(cls, password: str) -> PasswordHash:
        salt = secrets.token_bytes(16)
        return cls(_N, _R, _P, salt, _derive(password, salt, _N, _R, _P))

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """Raises InputError. The error does not show the text, which may be a password."""
        match = _SCRYPT.fullmatch(text)
        if match:
            n, r, p = int(match[1]), int(match[2]), int(match[3])
            power_of_two = n > 1 and n & (n - 1) == 0
            if power_of_two and 0 < 128 * n * r * p <= _MOST_MEMORY_BYTES:
                return cls(n, r, p, _decoded(match[4]), _decoded(match[5]))
        raise InputError(
            "expected the hash of a password", fix="create one with: edged hash-password"
        )

    def __str__(self) -> str:
        salt, derived = _encoded(self.salt), _encoded(self.derived)
        return f"scrypt:{self.n}:{self.r}:{self.p}:{salt}:{derived}"

    def matches(self, password: str) -> bool:
        """Takes tens of milliseconds of CPU time."""
        derived = _derive(password, self.salt, self.n, self.r, self.p)
        return hmac.compare_digest(derived, self.derived)


def _derive(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    secret = password.encode()[: LONGEST_PASSWORD_BYTES + 1]
    most = 2 * _MOST_MEMORY_BYTES
    return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=most, dklen=32)


def new_token() -> str:
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """`sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def check_token_hash(text: str) -> None:
    """Raises InputError. The error does not show the text, which may be a token."""
    if not _TOKEN.fullmatch(text):
        raise InputError("expected the hash of a token", fix="create both with: edged new-token")


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
