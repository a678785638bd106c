"""Hashes that a configuration can hold, and the commands that make them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from edged.errors import InputError
from edged.web.password import PasswordHash, check_token_hash, new_token, token_hash


def test_a_hash_knows_its_password_only() -> None:
    made = PasswordHash.of("pass: wörd")
    again = PasswordHash.parse(str(made))
    assert again == made
    assert again.matches("pass: wörd")
    assert not again.matches("pass: wörd ")
    assert not again.matches("")
    assert str(PasswordHash.of("pass: wörd")) != str(made)


GOOD = str(PasswordHash.of("x"))


@pytest.mark.parametrize(
    "text",
    [
        "hunter2",
        "",
        GOOD + "\n",
        GOOD[:-1],
        GOOD.replace("16384", "16383"),
        GOOD.replace("16384", "1"),
        GOOD.replace("16384", "0"),
        GOOD.replace("16384", "1048576"),  # a gigabyte for each guess
        GOOD.replace(":8:1:", ":0:1:"),
        GOOD.replace(":8:1:", ":8:0:"),
        GOOD.replace("scrypt", "bcrypt"),
    ],
    ids=range(11),
)
def test_what_is_no_hash_is_not_shown(text: str) -> None:
    with pytest.raises(InputError, match="edged hash-password") as got:
        PasswordHash.parse(text)
    assert text == "" or text not in str(got.value)


def test_tokens() -> None:
    token = new_token()
    assert len(token) >= 43 and token != new_token()
    check_token_hash(token_hash(token))
    with pytest.raises(InputError) as got:
        check_token_hash(token)
    assert token not in str(got.value)


def edged(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edged", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("typed", ["geheim\n", "geheim", "geheim\r\nmore\n"])
def test_the_command_reads_a_pipe(typed: str) -> None:
    done = edged("hash-password", input=typed)
    assert (done.returncode, done.stderr) == (0, "")
    assert PasswordHash.parse(done.stdout.strip()).matches("geheim")


@pytest.mark.parametrize("typed", ["", "\n", "x" * 5000])
def test_what_is_no_password(typed: str) -> None:
    done = edged("hash-password", input=typed)
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected a password" in done.stderr


@pytest.mark.parametrize("again", ["geheim", "another"])
def test_the_command_asks_twice_without_echo(again: str) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "edged", "hash-password"],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
        start_new_session=True,  # else getpass takes the terminal of whoever runs the tests
    )
    os.close(slave)
    shown = b""
    for prompt, typed in ((b"Password: ", "geheim"), (b"Again: ", again)):
        while prompt not in shown:
            shown += os.read(master, 1024)
        os.write(master, typed.encode() + b"\n")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == (0 if again == "geheim" else 2)
    if again == "geheim":
        assert PasswordHash.parse(output.decode().strip()).matches("geheim")
    assert b"geheim" not in shown
    os.close(master)


def test_the_command_makes_tokens() -> None:
    token, its_hash = (line.split()[-1] for line in edged("new-token").stdout.splitlines())
    assert token_hash(token) == its_hash
