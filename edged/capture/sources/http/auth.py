"""HTTP authentication: Basic (RFC 7617) and Digest (RFC 7616). No I/O."""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_SCHEMES = frozenset(("basic", "bearer", "digest", "negotiate", "ntlm"))
"""Schemes that may follow another one in the same header."""
_SESSION = "-SESS"
_SHORT = 2
"""User names up to this length are not masked: that would mask half of any text."""
_TOKEN = r"[^\s,=\"]+"
_VALUE = rf'"(?:[^"\\]|\\.)*"|[^\s,"]+(?:[ \t]+(?!{_TOKEN}\s*=)[^\s,"]+)*|'
_WORD = re.compile(rf"({_TOKEN})(?:\s*=\s*({_VALUE}))?", re.DOTALL)
"""A scheme, or a parameter with its value, which may be quoted or empty."""


class Login:
    """client_nonce: returns a new random text for each Digest response."""

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
        """Number of responses to the current Digest challenge."""

    @property
    def secrets(self) -> Iterator[str]:
        """Texts that no message may show, longer ones before their parts."""
        yield self._token
        yield b64encode(self._password.encode()).decode()
        yield self._password
        if len(self._user) > _SHORT:
            yield self._user

    def understands(self, challenges: Sequence[str]) -> bool:
        """Store the WWW-Authenticate headers; whether one is supported. The strongest Digest is
        preferred to Basic.
        """
        self._basic, self._digest, self._answers = False, None, 0
        for scheme, asked in parsed(challenges):
            self._basic |= scheme == "basic"
            if scheme == "digest":
                known = {"realm", "nonce"} <= asked.keys() and _hash_name(asked) in _HASHES
                if known and (self._digest is None or _hash_name(asked) == "SHA-256"):
                    self._digest = asked
        return self._basic or self._digest is not None

    def authorization(self, target: str) -> str | None:
        """The Authorization header for GET of `target`; None without a challenge."""
        if self._digest is not None:
            return self._answer(self._digest, target)
        return f"Basic {self._token}" if self._basic else None

    def repeats(self, answer: str | None) -> bool:
        """Whether the next response would equal `answer`, as with Basic."""
        return self._digest is None and answer == f"Basic {self._token}"

    @property
    def _token(self) -> str:
        return b64encode(f"{self._user}:{self._password}".encode()).decode()

    def _answer(self, asked: dict[str, str], target: str) -> str:
        self._answers += 1
        algorithm, nonce = asked.get("algorithm") or "MD5", asked["nonce"]

        def hashed(*parts: str) -> str:
            return _HASHES[_hash_name(asked)](":".join(parts).encode()).hexdigest()

        count, client = f"{self._answers:08x}", self._client_nonce()
        secret = hashed(self._user, asked["realm"], self._password)
        session = algorithm.upper().endswith(_SESSION)
        if session:
            secret = hashed(secret, nonce, client)
        between = [nonce, count, client, "auth"] if asked.get("qop") else [nonce]
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
        if asked.get("qop"):
            text += f", qop=auth, nc={count}"
        if asked.get("qop") or session:
            text += f', cnonce="{client}"'
        return f"Digest {text}"


def parsed(challenges: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """(scheme, parameters) of each challenge, names in lower case; tolerates any input. A header
    may contain several challenges.
    """
    for header in challenges:
        scheme, parameters = "", dict[str, str]()
        for match in _WORD.finditer(header):
            name, value = match[1].lower(), match[2]
            if value is not None:
                parameters[name] = _unquoted(value)
                continue
            if scheme and name not in _SCHEMES:
                continue  # part of an unquoted list
            if scheme:
                yield scheme, parameters
            scheme, parameters = name, {}
        if scheme:
            yield scheme, parameters


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _hash_name(asked: dict[str, str]) -> str:
    return (asked.get("algorithm") or "MD5").upper().removesuffix(_SESSION)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
