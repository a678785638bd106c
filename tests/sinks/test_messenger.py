"""The child process that sends: one that hangs, crashes, is killed, is idle or says nonsense."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edged.secret import Secret
from edged.sinks.notify.child import judged
from edged.sinks.notify.messenger import Answer, Message, Messenger, Patience, without_address
from tests.rig.messages import ADDRESS, TAKEN, Script, failed
from tests.rig.waiting import eventually

HELLO = Message("title", 'täxt\n"quoted"', b"\xff\xd8picture")


def gone(pid: int) -> bool:
    """Also reaped: a zombie would still be there."""
    return not Path(f"/proc/{pid}").exists()


def test_an_order_reaches_the_child_whole(tmp_path: Path) -> None:
    script = Script(tmp_path, TAKEN)
    messenger = script.messenger()
    assert messenger.pid is None  # it starts with the first message
    assert messenger.send(ADDRESS, HELLO) == Answer(True)
    pid = messenger.pid
    assert messenger.send(ADDRESS, HELLO._replace(picture=None)) == Answer(True)
    assert messenger.pid == pid
    first, second = script.orders
    assert first == {
        "address": ADDRESS.reveal(),
        "title": "title",
        "text": 'täxt\n"quoted"',
        "picture": "/9hwaWN0dXJl",
    }
    assert second["picture"] is None
    messenger.close()
    assert pid is not None
    assert gone(pid)


def test_neither_its_command_nor_its_environment_has_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NTFY_TOPIC", "t0pic")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/s3cretpass")
    script = Script(tmp_path, TAKEN)
    messenger = script.messenger()
    messenger.send(ADDRESS, HELLO)
    process = Path(f"/proc/{messenger.pid}")
    shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    messenger.close()
    assert b"PATH=" in shown
    assert b"s3cretpass" not in shown
    assert b"t0pic" not in shown


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("hang", "no answer within 0.3 s"),
        ("crash", "the process that sends messages ended with status 3"),
        ("abort", "the process that sends messages ended of SIGABRT"),
        ("noise", "the process that sends messages gave an invalid answer"),
        ([1], "the process that sends messages gave an invalid answer"),
    ],
)
def test_one_that_fails_is_replaced(tmp_path: Path, step: object, why: str) -> None:
    script = Script(tmp_path, TAKEN, step, TAKEN)
    patience = Patience(answer_seconds=0.3) if step == "hang" else Patience()
    messenger = script.messenger(patience)
    assert messenger.send(ADDRESS, HELLO).taken
    pid = messenger.pid
    assert messenger.send(ADDRESS, HELLO) == Answer(False, why, suspect=True)
    assert pid is not None
    assert gone(pid)
    eventually(lambda: messenger.send(ADDRESS, HELLO).taken)
    assert messenger.pid != pid
    messenger.close()


def test_one_that_works_for_long_does_not_hang(tmp_path: Path) -> None:
    """Apprise is slow to load on a device whose cores are busy."""
    messenger = Script(tmp_path, "work").messenger(Patience(answer_seconds=1.2))
    assert messenger.send(ADDRESS, HELLO).taken
    messenger.close()


def test_one_that_was_killed_while_it_was_idle_costs_no_message(tmp_path: Path) -> None:
    script = Script(tmp_path, TAKEN)
    messenger = script.messenger()
    messenger.send(ADDRESS, HELLO)
    assert messenger.pid is not None
    os.kill(messenger.pid, signal.SIGKILL)
    eventually(lambda: Path(f"/proc/{messenger.pid}/stat").read_text().split()[2] == "Z")
    assert messenger.send(ADDRESS, HELLO).taken
    messenger.close()
    assert len(script.orders) == 2


def test_it_ends_when_it_is_idle_and_starts_again(tmp_path: Path) -> None:
    script = Script(tmp_path, TAKEN)
    messenger = script.messenger(Patience(idle_seconds=0.05))
    messenger.send(ADDRESS, HELLO)
    eventually(lambda: messenger.pid is None)
    assert messenger.send(ADDRESS, HELLO).taken
    eventually(lambda: messenger.pid is None)
    messenger.close()


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """However that ends."""
    parent = (
        "import json, os, signal, sys\n"
        "from edged.secret import Secret\n"
        "from edged.sinks.notify.messenger import Message, Messenger\n"
        "messenger = Messenger(program=json.loads(sys.argv[1]), missing=lambda: False)\n"
        "messenger.send(Secret('x://y'), Message('', ''))\n"
        "print(messenger.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    program = json.dumps(Script(tmp_path, TAKEN).program)
    ended = subprocess.run(
        [sys.executable, "-c", parent, program], capture_output=True, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    child = Path(f"/proc/{int(ended.stdout)}/stat")  # nobody may reap it here
    eventually(lambda: not child.exists() or child.read_text().split()[2] == "Z")


def test_close_does_not_wait_for_a_message(tmp_path: Path) -> None:
    script = Script(tmp_path, "hang")
    messenger = script.messenger()
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(messenger.send(ADDRESS, HELLO)))
    thread.start()
    eventually(lambda: script.orders)
    pid = messenger.pid
    messenger.close()
    thread.join(30)
    assert answers == [Answer(False, "edged ends", suspect=True)]
    assert pid is not None
    assert gone(pid)


def test_a_child_that_does_not_start(tmp_path: Path) -> None:
    messenger = Messenger(program=("-c", "import nowhere"), missing=lambda: False)
    answer = messenger.send(ADDRESS, HELLO)
    assert answer == Answer(False, "the process that sends messages ended with status 1")
    messenger.close()
    messenger = Messenger(
        Patience(start_seconds=0.2), program=("-c", "input()"), missing=lambda: False
    )
    assert messenger.send(ADDRESS, HELLO) == Answer(False, "no answer within 0.2 s")
    messenger.close()


def test_without_apprise_no_process_starts() -> None:
    messenger = Messenger(missing=lambda: True)
    answer = messenger.send(ADDRESS, HELLO)
    assert not answer.final
    assert answer.why == (
        f"apprise is not installed; install it with: {sys.executable} -m pip install "
        "'edged[notify]'"
    )
    assert messenger.pid is None
    broken = ("-c", "print('{\"missing\": true}')")
    messenger = Messenger(program=broken, missing=lambda: False)
    assert messenger.send(ADDRESS, HELLO).why.startswith("apprise cannot be imported; install it")
    messenger.close()


@pytest.mark.parametrize(
    ("address", "said", "shown"),
    [
        (
            "ntfys://anna:p%40ss@h.example/t0pic",
            "p@ss of anna at H.EXAMPLE/t0pic",
            "*** of *** at ***/***",
        ),
        ("tgram://1234:AbC-d/567?format=text", "chat 567, bot 1234:abc-D", "chat ***, bot ***:***"),
        ("mailto://u:p@x", "to u: error up=1 p", "to ***: error up=1 ***"),
        ("json://h/", "got https://u:p@elsewhere/x?y and a://b.", "got *** and ***"),
        ("json://h/", "mailto://a...b:s...t@1...1", "***"),
    ],
)
def test_no_part_of_an_address_is_shown(address: str, said: str, shown: str) -> None:
    assert without_address(said, address) == shown


def test_what_the_child_quotes_is_masked(tmp_path: Path) -> None:
    script = Script(tmp_path, failed("no t0pic for anna:s3cretpass\x1b[31m" + "!" * 1000))
    messenger = script.messenger()
    why = messenger.send(ADDRESS, HELLO).why
    messenger.close()
    assert why.startswith("no *** for ***:***\\x1b[31m!!!")
    assert len(why) <= 310


@pytest.mark.parametrize(
    ("said", "exception", "why", "final", "suspect"),
    [
        ("Failed to send: Unauthorized, error=401.", "", None, True, False),
        ("Failed to send: error=429.", "", None, False, False),
        ("Failed to send: error=503.", "", None, False, False),
        ("Failed to send: error=500.", "", None, False, True),
        ("x", "Socket Exception: (535, b'5.7.8 no')", "with status 535", True, False),
        (
            "x",
            "Socket Exception: {'a@b': (451, b'later')}",
            "answered with status 451",
            False,
            False,
        ),
        ("x", "Socket Exception: Read timed out. (read timeout=12)", "timed out", False, False),
        ("x", "Socket Exception: [Errno 111] Connection refused", "refused", False, False),
        ("x", "Socket Exception: Failed to resolve (NameResolutionError)", "lookup", False, False),
        ("x", "Socket Exception: CERTIFICATE_VERIFY_FAILED", "certificate", False, False),
        ("Something else", "", "Something else", False, True),
        ("", "", "Apprise gave no reason", False, True),
    ],
)
def test_what_apprise_says_is_judged(
    said: str, exception: str, why: str | None, final: bool, suspect: bool
) -> None:
    answer = judged(said, exception)
    assert (said if why is None else why) in answer["why"]
    assert (answer["taken"], answer["final"], answer["suspect"]) == (False, final, suspect)


def test_messages_of_several_threads_are_sent_in_turn(tmp_path: Path) -> None:
    script = Script(tmp_path, TAKEN)
    messenger = script.messenger()
    threads = [
        threading.Thread(
            target=lambda number=number: messenger.send(
                Secret(f"x://{number}"), Message("", str(number), os.urandom(400_000))
            )
        )
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    messenger.close()
    assert sorted(script.texts) == [str(number) for number in range(8)]
    assert {order["address"].removeprefix("x://") == order["text"] for order in script.orders} == {
        True
    }
