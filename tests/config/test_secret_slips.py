"""Passwords with every sign that YAML and URLs read differently, where people write them: no four
characters in a row of one reach any text that edged shows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import edged
from edged.cli import main
from edged.config.config import load_config
from edged.config.warnings import warnings
from edged.doctor.files import configuration
from edged.doctor.subject import subject_of
from edged.errors import EdgedError
from tests.rig.daemon import RunningDaemon
from tests.rig.notify_socket import Supervisor

_SIGNS = "QZXJKVW7qzxjkv935" + ",#!&*%:/?@[]{}|>'\"\\$ ;=+~`^-"
_WORDS = "\n".join(path.read_text() for path in Path(edged.__file__).parent.rglob("*.py"))

secrets = st.one_of(
    st.text(_SIGNS, min_size=6, max_size=16),
    st.text("QZXJKV", min_size=3, max_size=9).flatmap(
        lambda begin: st.text("qzxjkv79", min_size=4, max_size=9).flatmap(
            lambda end: st.sampled_from([",", " #", "#", ", ", "/", "%", "@", "!", ": "]).map(
                lambda sign: begin + sign + end
            )
        )
    ),
    st.integers(10**5, 10**50).map(str),
)

ADDRESSES = ("rtsp://admin:{}@192.0.2.7/live", "rtsp//admin:{}@cam/live", "admin:{}@192.0.2.7")
WITHOUT_HOST = ("rtsp://admin:{}", "admin:{}", "rtsp:/admin:{}")
PLACES = {
    "source": [*ADDRESSES, *WITHOUT_HOST],
    "source_file": ["{}", *ADDRESSES[:1]],
    "mqtt": ["{}", "mqtt://edged:{}@192.0.2.7"],
    "mqtt.broker": ["mqtt://edged:{}@192.0.2.7", "edged:{}@192.0.2.7", "mqtt://192.0.2.7:{}"],
    "mqtt.user": ["{}"],
    "mqtt.password": ["{}", "!{}", "&{} x", "*{}"],
    "mqtt.password_file": ["{}"],
    "webhook": ["{}", "https://hooks.example/{}"],
    "webhook.url": ["{}", "https://hooks.example/{}", "https://u:{}@hooks.example/"],
    "webhook.authorization": ["{}", "Bearer {}"],
    "webhook.authorization_file": ["{}"],
    "webhook.body": ["{}", "$event {}", '{{"text": "$evnt {}"}}'],
    "notify.phone": ["{}", "ntfy://{}"],
    "notify.phone.url": ["{}", "ntfy://u:{}@h/x", "tgram://{}/x"],
    "notify.phone.url_file": ["{}"],
    "http.users": ["{}", "anna:{}"],
    "http.users.anna": ["{}"],
    "http.token_hashes": ["{}"],
}
STYLES: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    lambda text: f'"{text}"',
    lambda text: f"'{text}'",
    lambda text: f"[{text}]",
    lambda text: f"{{{text}}}",
)


def written(place: str, text: str, *, braces: bool) -> str:
    """A configuration in which `text` is the value at `place`."""
    *sections, key = place.split(".")
    if place in ("source", "source_file"):
        sections, rest = ["cameras", "door"], ""
    else:
        rest = "cameras: {door: {source: synthetic}}\n"
        sections = sections if sections[:1] == ["http"] else ["results", *sections]
    if braces:
        value = f"{key}: {text}"
        for section in reversed(sections):
            value = f"{section}: {{{value}}}"
        return f"{rest}{value}\n"
    lines = [f"{'  ' * depth}{name}:" for depth, name in enumerate(sections)]
    return rest + "\n".join([*lines, f"{'  ' * len(sections)}{key}: {text}"]) + "\n"


def leaks(secret: str, said: str, length: int = 4) -> list[str]:
    runs = {secret[start : start + length] for start in range(len(secret) - length + 1)}
    return sorted(run for run in runs if run in said)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slips")


def written_in(folder: Path, place: tuple[str, str], secret: str, style: int, how: str) -> Path:
    """how: `block`, `braces`, or `file` for a source_file that holds it."""
    key, template = place
    text = template.format(secret)
    if key == "source_file" and how == "file":
        (folder / "door").write_text(text)
        text = "door"
    path = folder / "edged.yaml"
    path.write_text(written(key, STYLES[style](text), braces=how == "braces"))
    return path


def said_of(path: Path) -> str:
    try:
        read = load_config(path, {})
    except EdgedError as error:
        return f"{error} {error!r}"
    return "\n".join([repr(read), *warnings(read)])


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([(place, each) for place, several in PLACES.items() for each in several]),
    secrets,
    st.integers(0, len(STYLES) - 1),
    st.sampled_from(["block", "braces", "file"]),
)
def test_no_four_characters_of_a_secret_are_shown(
    folder: Path, place: tuple[str, str], secret: str, style: int, how: str
) -> None:
    key, template = place
    assume(not (template in WITHOUT_HOST and "@" in secret))  # what follows it is a host
    assume(not (key == "http.users" and ": " in secret))  # a user's name is not secret
    elsewhere = _WORDS + written(key, template, braces=True) + str(folder)
    assume(not leaks(secret, elsewhere))
    path = written_in(folder, place, secret, style, how)
    assert leaks(secret, said_of(path)) == []


@pytest.mark.parametrize(
    ("place", "secret", "how"),
    [
        (("source", "rtsp://admin:{}"), "QZXJ,kvzq", "braces"),
        (("source", "rtsp://admin:{}"), "QZXJ #kvzq", "block"),
        (("source", "rtsp://admin:{}"), "12#34567", "block"),
        (("source", "rtsp//admin:{}@cam/live"), "QZXJkvzq", "block"),
        (("source_file", "{}"), "QZXJkvzq", "file"),
        (("mqtt.password", "!{}"), "QZXJkvzq", "block"),
        (("mqtt.password", "{}"), "9375739753579759393597539753597539", "braces"),
        (("webhook", "https://hooks.example/{}"), "QZXJkvzq", "block"),
        (("webhook.url", "https://u:{}@hooks.example/"), "QZXJkvzq", "block"),
        (("notify.phone", "ntfy://{}"), "QZXJkvzq", "block"),
        (("notify.phone.url", "ntfy//{}"), "QZXJkvzq", "braces"),
        (("http.token_hashes", "{}"), "QZXJkvzq", "braces"),
    ],
)
def test_nor_by_the_commands(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    place: tuple[str, str],
    secret: str,
    how: str,
) -> None:
    path = written_in(tmp_path, place, secret, 0, how)
    assert main(["check", str(path)]) == 2
    assert main(["run", str(path)]) == 2
    found = configuration(subject_of(path, {}, root=tmp_path))
    shown = capsys.readouterr()
    said = "\n".join([shown.out, shown.err, *map(str, found)])
    assert f"{path}:" in said
    assert leaks(secret, said) == []


ADDRESS = "rtsp://admin:QZXJkvzq@192.0.2.7/x"


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        *(([*command], ADDRESS) for command in (["demo"], ["demo", "--sorce"], ["schema"], [])),
        *(([*command], ADDRESS) for command in (["replay"], ["models", "verify"], ["cameras"])),
        *((["check"], each) for each in (ADDRESS, "admin:QZXJkvzq@cam")),
        *((["run"], ADDRESS), (["run", "-c"], ADDRESS), (["doctor"], ADDRESS)),
    ],
)
def test_nor_by_a_command_that_was_given_an_address(
    arguments: list[str], address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: object = main([*arguments, address])
    except SystemExit as ended:
        status = ended.code
    shown = capsys.readouterr()
    assert status == 2
    assert leaks("QZXJkvzq", shown.out + shown.err) == []


def test_but_an_example_keeps_its_place_for_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written_in(tmp_path, ("source", "{}"), "192.0.2.7", 0, "block")
    assert main(["check", str(path)]) == 2
    assert "write rtsp://user:password@host:554/path" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["hash-password", "new-token"])
@pytest.mark.parametrize("word", ["QZXJkvzq", "-QZXJkvzq", "--QZXJ=kvzq"])
def test_nor_by_one_that_takes_no_argument(
    command: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, word])
    assert ended.value.code == 2
    assert leaks("QZXJkvzq", capsys.readouterr().err) == []


def test_a_variable_is_named_where_its_name_is_no_part_of_a_password(tmp_path: Path) -> None:
    path = tmp_path / "edged.yaml"
    for password, named in (("${DOOR_PASSWORD}", "DOOR_PASSWORD"), ("a${QZXJkvzq}", "***")):
        path.write_text(f"cameras: {{door: {{source: 'rtsp://admin:{password}@192.0.2.7/x'}}}}\n")
        assert f"cameras.door.source: the variable {named} is not set" in said_of(path)


def running(yard: str = "") -> str:
    return (
        "variants: [mobilenet_v1_0.25_128]\nlatency_budget_ms: 5000\n"
        "http: {listen: 127.0.0.1:0}\ncameras:\n"
        f"  door: {{source: synthetic, size: 64x64, fps: 5}}\n{yard and f'  yard: {yard}'}\n"
    )


def test_nor_does_a_running_daemon_show_any(tmp_path: Path) -> None:
    slips = {
        "QZXJ,kvzq": "{source: rtsp://admin:QZXJ,kvzq@192.0.2.7/live}",
        "JQZX kvqz": "{source: rtsp://admin:JQZX #kvqz@192.0.2.7/live}",
        "VZQKjxqv": "{source: rtsp//admin:VZQKjxqv@cam/live}",
        "ZZQXvvkq": "{source: !ZZQXvvkq }",
        "9375739753579759393597539753597539": "{source: 9375739753579759393597539753597539}",
    }
    notify = str(tmp_path / "notify")
    supervisor = Supervisor(notify)
    with (
        closing(supervisor.socket),
        RunningDaemon(tmp_path, running(), NOTIFY_SOCKET=notify) as daemon,
    ):
        daemon.wait_for_results(1)
        statuses = supervisor.waiting()
        for slip in slips.values():
            assert "not reloaded" in daemon.reload(running(slip))
            statuses += supervisor.waiting()
        accepted = "{source: 'rtsp://admin:XKQZ,vqjz@127.0.0.1:9/live'}"
        assert "not reloaded" not in daemon.reload(running(accepted))
        daemon.wait_for(lambda: "camera yard: backoff" in daemon.text)
        pages = [daemon.get(path)[1] for path in ("/metrics", "/readyz", "/api/v1/status")]
        assert daemon.stop()[0] == 0
        said = "\n".join([daemon.text, *pages, *statuses])
    assert "STATUS=configuration not reloaded: " in said
    for secret in (*slips, "XKQZ,vqjz"):
        # Times, ports and metrics have any four digits.
        assert leaks(secret, said, 12 if secret.isdecimal() else 4) == []
