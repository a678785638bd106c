"""Values that must not appear in a log, a metric, a traceback or a diagnostics bundle."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NoReturn, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

MASK = "***"

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SLASHES = re.compile(r":/+|//+")  # `rtsp:/user:password@host` is a typing error

# `%25` is an encoded `%`: a URL inside a URL inside a URL is encoded more than once.
_ENCODED_SLASHES = re.compile(r"(?::|%(?:25)*3a)(?:%(?:25)*2f){2}", re.IGNORECASE)
_AT = re.compile(r"@|%(?:25)*40", re.IGNORECASE)
_ENCODED_AT_IN_AUTHORITY = re.compile(r"//([^/?#]*)%(?:25)*40", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"(?:(?:pass|pw|token|user|usr|login|auth|key|secret|credential|signature|session)[\w.-]{0,32}"
    r"|(?<=[?&])(?:u|p|pss|pin|jwt|code|account|access|hash|sid|sig))"
    r"(?:=|%(?:25)*3d)([^&\s]+)",
    re.IGNORECASE,
)

SecretT = TypeVar("SecretT", bound="Secret")


class Secret:
    """An immutable text that only `reveal()` returns.

    `str`, `repr` and formatting return a mask; pickling is refused, so that passing the text to
    another process requires `reveal()`. Copies are the object itself.
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
        raise TypeError(f"a {type(self).__name__} cannot be pickled; pass the result of reveal()")


class SourceUrl(Secret):
    """A camera's source: a URL, a device, a path or `synthetic`.

    `str` and `repr` mask user, password and parameters that look like credentials.
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
            return f"gst:{MASK}"  # a pipeline may contain a password anywhere
        if value.startswith(("/", ".", "synthetic:")):
            return redact(value)
        # `user:password@host`: a URL without its scheme.
        credentials, at, host = value.rpartition("@")
        return redact(f"{MASK}@{host}" if at and ":" in credentials else value)


def redact(text: str) -> str:
    """`text` with user and password of every URL in it masked, and credential-like parameters.

    A URL ends at white space. Everything between its `//` and its last `@` counts as user and
    password, since passwords may contain `@`, `:`, `/`, `?` and `#` unencoded; this also masks the
    host of a URL with an `@` in its path. A password in a path (`/live/SECRET/1`) is not masked.
    """
    return re.sub(r"\S+", lambda word: _redact_word(word[0]), text)


def masked(text: str, secrets: Iterable[str]) -> str:
    """`text` without these secrets, plain and percent-encoded."""
    for secret in filter(None, secrets):
        text = text.replace(secret, MASK).replace(quote(secret, ""), MASK)
    return text


def query_credentials(url: str) -> list[str]:
    """Credentials in the query, where some cameras expect them."""
    pairs = parse_qsl(urlsplit(url).query)
    return [value for key, value in pairs if MASK in redact(f"?{key}={value}")]


def _redact_word(word: str) -> str:
    # Find all before masking: a mask must not hide what identifies another
    # (`?password=a@b` contains an `@`, `user:key=1@host` a `key=`).
    shown, masked_to = "", 0
    for start, end in sorted([*_users(word), *(m.span(1) for m in _CREDENTIAL.finditer(word))]):
        if start > masked_to or not shown:
            shown += word[masked_to:start] + MASK
        masked_to = max(masked_to, end)
    return shown + word[masked_to:]


def _users(word: str) -> Iterator[tuple[int, int]]:
    """The positions of `user:password` or `user`, plain and percent-encoded."""
    slashes, at = _SLASHES.search(word), word.rfind("@")
    if slashes and slashes.end() <= at:
        yield slashes.end(), at
    elif authority := _ENCODED_AT_IN_AUTHORITY.search(word):
        yield authority.span(1)
    if encoded := _ENCODED_SLASHES.search(word):
        ends = [match.start() for match in _AT.finditer(word, encoded.end())]
        if ends:
            yield encoded.end(), ends[-1]
