"""The HTTP server: its address, and who may ask it what."""

from __future__ import annotations

from edged.document.parts import FILE, SECRET, key, section
from edged.web.options import OPEN

_HASH_EXAMPLE = (
    "scrypt:16384:8:1:oYPE7qv1E4GqhdIvL9pQ3A:2n0ZkkeW1uH9qT0Zc0m1yXb7u3sQm0d3v5kH1xVtR2w"
)

_LISTEN = 'write listen: "127.0.0.1:9640", address and port in one'
_HINTS = {
    **dict.fromkeys(("port", "host", "address", "bind"), _LISTEN),
    **dict.fromkeys(
        ("password", "user", "username", "auth"),
        "write users: {NAME: HASH}; edged hash-password makes the hash",
    ),
    **dict.fromkeys(
        ("token", "tokens", "api_key"), "write token_hashes: [HASH]; edged new-token makes both"
    ),
    **dict.fromkeys(("ssl", "https", "certificate", "cert"), "tls"),
    "enabled": "write listen: none for no server",
}

HTTP = section(
    [],
    _HINTS,
    listen=key(
        "Address",
        "address:port; an IPv6 address in brackets, and that in quotes. Port 0 takes a "
        "free one; none switches the server off.",
        "127.0.0.1:9640",
        "0.0.0.0:9640",
        "[::1]:9640",
        "none",
        type="string",
        format="listen-address",
        default="127.0.0.1:9640",
    ),
    users=key(
        "Users",
        "Name and hash of the password, as edged hash-password prints it. With users or "
        "tokens, whoever has neither gets nothing but what is open.",
        {"anna": _HASH_EXAMPLE},
        type="object",
        propertyNames={
            "pattern": "^[A-Za-z0-9._-]{1,64}$",
            "patternErrorMessage": "letters, digits, . _ or -, 64 at most",
        },
        additionalProperties=key(
            "Hash", "Of the password.", _HASH_EXAMPLE, format="password-hash", **SECRET
        ),
        default={},
    ),
    token_hashes=key(
        "Hashes of tokens",
        "For programs, which send the token itself (Authorization: Bearer …); edged "
        "new-token prints both.",
        ["sha256:" + 64 * "0"],
        type="array",
        items={"format": "token-hash", **SECRET},
        maxItems=32,
        default=[],
    ),
    tls=key(
        "TLS",
        "PEM files: the certificate with its chain, and the key without a password. A "
        "reload reads them anew. Without it, plain HTTP.",
        {"certificate": "/etc/edged/tls.pem", "key": "/etc/edged/tls.key"},
        **section(
            ["certificate", "key"],
            certificate=key("Certificate", "A PEM file.", "tls.pem", **FILE),
            key=key("Key", "A PEM file.", "tls.key", **FILE),
        ),
    ),
    open=key(
        "Open paths",
        "What needs neither password nor token although there are some. Without any and "
        "without TLS, what may be asked under any host name: else only under an address, "
        "localhost and the names of this machine, because a web page could read the rest (DNS "
        "rebinding).",
        ["metrics", "healthz"],
        type="array",
        items={"enum": list(OPEN)},
        uniqueItems=True,
        default=[],
    ),
)
