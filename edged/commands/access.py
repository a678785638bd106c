"""`edged hash-password` and `edged new-token`: credentials for the HTTP server."""

from __future__ import annotations

import argparse
import getpass
import sys

from edged.commands.parts import Commands, add_command


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    add_command(
        commands,
        "hash-password",
        _hash_password,
        "print the hash of a password for http.users; prompts, or reads standard input",
        "edged hash-password",
    )
    add_command(
        commands,
        "new-token",
        _new_token,
        "print a new API token, and its hash for http.token_hashes",
        "edged new-token",
    )


def _hash_password(options: argparse.Namespace) -> int:
    from edged.web.password import PasswordHash

    print(PasswordHash.of(read_password(again=True)))
    return 0


def read_password(*, again: bool = False) -> str:
    """Prompt without echo on a terminal, and once more if `again`; otherwise read the first line of
    standard input."""
    from edged.errors import InputError
    from edged.web.password import LONGEST_PASSWORD_BYTES

    if sys.stdin is not None and sys.stdin.isatty():
        try:
            password = getpass.getpass("Password: ")
            if again and password != getpass.getpass("Again: "):
                raise InputError("the passwords do not match", fix="try again")
        except EOFError:
            password = ""
    else:
        line = b"" if sys.stdin is None else sys.stdin.buffer.readline(LONGEST_PASSWORD_BYTES + 3)
        try:
            password = line.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise InputError("expected a password in UTF-8", where="standard input") from None
    if not password:
        fix = "type one, or pipe it in: < file"
        raise InputError("expected a password, got none", fix=fix)
    if len(password.encode()) > LONGEST_PASSWORD_BYTES:
        raise InputError(f"expected a password of at most {LONGEST_PASSWORD_BYTES} bytes")
    return password


def _new_token(options: argparse.Namespace) -> int:
    from edged.web.password import new_token, token_hash

    token = new_token()
    print(f"token (not shown again):      {token}")
    print(f"hash for http.token_hashes:   {token_hash(token)}")
    return 0
