"""User and password as HTTP asks for them: Basic (RFC 7617) and Digest (RFC 7616). No I/O."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode
from collections.abc import Callable, Sequence
from urllib.request import parse_http_list, parse_keqv_list

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


class Login:
    """client_nonce: a fresh random text for each answer to Digest."""

    def __init__(
        self,
        user: str,
        password: str,
        *,
        client_nonce: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._user = user
        self._password = password
        self._client_nonce = client_nonce
        self._basic = False
        self._digest: dict[str, str] | None = None
        self._answers = 0
        """To the present challenge of Digest, which may be answered more than once."""

    def understands(self, challenges: Sequence[str]) -> bool:
        """Remember what the server asks (its WWW-Authenticate headers); the strongest Digest goes
        before Basic.
        """
        self._basic, self._digest, self._answers = False, None, 0
        for challenge in challenges:
            scheme, _, rest = challenge.partition(" ")
            self._basic |= scheme.lower() == "basic"
            if scheme.lower() == "digest":
                asked = parse_keqv_list([pair for pair in parse_http_list(rest) if "=" in pair])
                known = {"realm", "nonce"} <= asked.keys() and _algorithm(asked) in _HASHES
                if known and (self._digest is None or _algorithm(asked) == "SHA-256"):
                    self._digest = asked
        return self._basic or self._digest is not None

    def authorization(self, target: str) -> str | None:
        """The header's value for GET of `target`; None when nothing was asked."""
        if self._digest is not None:
            return self._answer(self._digest, target)
        if self._basic:
            return f"Basic {b64encode(f'{self._user}:{self._password}'.encode()).decode()}"
        return None

    def _answer(self, asked: dict[str, str], target: str) -> str:
        self._answers += 1
        algorithm, nonce = _algorithm(asked), asked["nonce"]

        def hashed(*parts: str) -> str:
            return _HASHES[algorithm](":".join(parts).encode()).hexdigest()

        count, client = f"{self._answers:08x}", self._client_nonce()
        secret = hashed(self._user, asked["realm"], self._password)
        between = [nonce, count, client, "auth"] if "qop" in asked else [nonce]
        answer = {
            "username": self._user,
            "realm": asked["realm"],
            "nonce": nonce,
            "uri": target,
            "response": hashed(secret, *between, hashed("GET", target)),
        }
        if "opaque" in asked:
            answer["opaque"] = asked["opaque"]
        text = ", ".join(f'{key}="{_escaped(value)}"' for key, value in answer.items())
        text += f", algorithm={algorithm}"
        if "qop" in asked:
            text += f', qop=auth, nc={count}, cnonce="{client}"'
        return f"Digest {text}"


def _algorithm(asked: dict[str, str]) -> str:
    return asked.get("algorithm", "MD5").upper()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
