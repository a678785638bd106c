"""Values that must not be read in a log, a metric, a traceback or a diagnostics bundle.

It does not know where a value came from (text, variable, file), nor who will need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn, TypeVar

MASK = "***"

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SLASHES = re.compile(r":/+|//+")  # `rtsp:/user:password@host` is a slip of the hand

# `%25` is an encoded `%`: a URL inside a URL inside a URL is encoded more than once.
_ENCODED_SLASHES = re.compile(r"(?::|%(?:25)*3a)(?:%(?:25)*2f){2}", re.IGNORECASE)
_AT = re.compile(r"@|%(?:25)*40", re.IGNORECASE)
_ENCODED_AT_IN_AUTHORITY = re.compile(r"//([^/?#]*)%(?:25)*40", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"(?:pass|pw|token|user|usr|login|auth|key|secret|credential|signature|session)"
    r"[\w.-]{0,32}(?:=|%(?:25)*3d)([^&\s]+)",
    re.IGNORECASE,
)

SecretT = TypeVar("SecretT", bound="Secret")


class Secret:
    """A text that only `reveal()` gives.

    `str`, `repr` and formatting give a mask; pickling is refused, so that it reaches another
    process only where somebody wrote `reveal()`. Copies are the object itself: it never changes.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._value == other._value

    def __hash__(self) -> int:
        return hash((type(self), self._value))

    def __copy__(self: SecretT) -> SecretT:
        return self

    def __deepcopy__(self: SecretT, memo: object) -> SecretT:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not pickled: pass on what reveal() gives")


class SourceUrl(Secret):
    """Where a camera's pictures come from: a URL, a device, a path or `synthetic`.

    `str` and `repr` show it without user, password and what looks like a credential.
    """

    __slots__ = ()

    @property
    def is_url(self) -> bool:
        return _URL.match(self._value) is not None

    def __str__(self) -> str:
        value = self._value
        if self.is_url:
            return _redact_word(value)  # the whole value is one URL, white space or not
        if value.lower().startswith("gst:"):
            return f"gst:{MASK}"  # a description may hold a password anywhere
        if value.startswith(("/", ".", "synthetic:")):
            return redact(value)
        # `user:password@host`: a URL whose beginning was forgotten.
        credentials, at, host = value.rpartition("@")
        return redact(f"{MASK}@{host}" if at and ":" in credentials else value)


def redact(text: str) -> str:
    """`text` with user and password of every URL in it masked, and credential-like parameters.

    A URL ends at white space, and everything between its `//` and its last `@` counts as user and
    password: passwords are pasted with `@`, `:`, `/`, `?` and `#` unencoded. So a URL with an `@`
    in its path loses its host here; too much is masked rather than too little. A password that
    stands in a path by itself (`/live/SECRET/1`) cannot be told from a path and stays.
    """
    return re.sub(r"\S+", lambda word: _redact_word(word[0]), text)


def _redact_word(word: str) -> str:
    # All are found in the word as it stands, then masked together: one mask must not take away
    # what another is known by (`?password=a@b` holds an `@`, `user:key=1@host` a `key=`).
    shown, masked_to = "", 0
    for start, end in sorted([*_users(word), *(m.span(1) for m in _CREDENTIAL.finditer(word))]):
        if start > masked_to or not shown:
            shown += word[masked_to:start] + MASK
        masked_to = max(masked_to, end)
    return shown + word[masked_to:]


def _users(word: str) -> Iterator[tuple[int, int]]:
    """Where `user:password` or `user` stands, plain and percent-encoded."""
    slashes, at = _SLASHES.search(word), word.rfind("@")
    if slashes and slashes.end() <= at:
        yield slashes.end(), at
    elif authority := _ENCODED_AT_IN_AUTHORITY.search(word):
        yield authority.span(1)
    if encoded := _ENCODED_SLASHES.search(word):
        ends = [match.start() for match in _AT.finditer(word, encoded.end())]
        if ends:
            yield encoded.end(), ends[-1]
