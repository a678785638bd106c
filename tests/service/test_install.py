"""`edged service install`, into a folder that stands for `/`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from edged.cli import main
from edged.config.config import load_config
from edged.config.family import Families
from edged.config.warnings import warnings
from edged.errors import EdgedError, InputError
from edged.service.install import (
    CONFIG,
    PACKAGED_UNIT,
    Service,
    install,
    run_command,
    shipped,
    uninstall,
    unit_text,
)

OPT = Service(interpreter=Path("/opt/edged/bin/python3"))
CODE = (Path("/opt/edged/lib/python3.11/site-packages/edged"),)
UNIT = "etc/systemd/system/edged.service"


class Commands:
    """Those that an installation would run."""

    def __init__(self) -> None:
        self.seen: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str]) -> None:
        self.seen.append(command)


def installed(root: Path, service: Service = OPT, run: Commands | None = None) -> list[str]:
    return install(service, root=root, run=run or Commands(), user_id=0, code=CODE)


def test_it_writes_unit_user_and_a_first_configuration(tmp_path: Path) -> None:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    run = Commands()
    done = installed(tmp_path, run=run)
    assert [line.split(":")[0] for line in done[:3]] == ["written"] * 3
    written = {
        str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert written == dict.fromkeys(
        (UNIT, "etc/sysusers.d/edged.conf", "etc/edged/edged.yaml"), 0o644
    )
    assert run.seen == [
        ["systemd-sysusers", "--version"],
        ["systemd-sysusers", f"--root={tmp_path}", "edged.conf"],
        ["systemctl", "daemon-reload"],
    ]


def test_only_the_command_and_the_user_differ_from_the_shipped_unit() -> None:
    service = Service(OPT.interpreter, Path("/etc/edged/garden.yaml"), "nobody")
    changed = [
        (ours, theirs)
        for ours, theirs in zip(
            unit_text(service).splitlines(), shipped("edged.service").splitlines(), strict=True
        )
        if ours != theirs
    ]
    assert changed == [
        (
            "ExecStart=/opt/edged/bin/python3 -I -m edged run -c /etc/edged/garden.yaml",
            "ExecStart=/usr/bin/edged run -c /etc/edged/edged.yaml",
        ),
        ("User=nobody", "User=edged"),
    ]


def test_again_it_changes_nothing_and_keeps_the_configuration(tmp_path: Path) -> None:
    installed(tmp_path)
    config = tmp_path / "etc/edged/edged.yaml"
    config.write_text("cameras: {door: {source: synthetic}}\n")
    done = installed(tmp_path)
    assert [line for line in done if line.startswith("written")] == []
    assert config.read_text() == "cameras: {door: {source: synthetic}}\n"


def test_without_a_running_systemd_nothing_is_reloaded(tmp_path: Path) -> None:
    run = Commands()
    installed(tmp_path, run=run)
    assert [command[0] for command in run.seen] == 2 * ["systemd-sysusers"]


@pytest.mark.parametrize("jetson", [True, False])
def test_a_jetson_gets_its_drop_in(tmp_path: Path, jetson: bool) -> None:
    if jetson:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.0\n")
    installed(tmp_path)
    drop_in = tmp_path / f"{UNIT}.d/jetson.conf"
    assert drop_in.exists() == jetson
    assert not jetson or drop_in.read_text() == shipped("edged.service.d/jetson.conf")


def test_the_first_configuration_is_valid_and_quiet(tmp_path: Path) -> None:
    installed(tmp_path)
    config = load_config(tmp_path / "etc/edged/edged.yaml", {})
    assert Families(config).of(config.views[0]).name == "imagenette"
    assert not config.results.sinks
    assert config.http is not None
    assert config.http.host == "127.0.0.1"
    (tmp_path / "video0").touch()
    (warning,) = warnings(config, tmp_path)
    place = f"{config.path}:17: cameras.camera.source: "
    assert warning.startswith(f"{place}/dev/video0 may name another camera after a restart; ")


def test_names_that_systemd_would_read_otherwise_are_quoted() -> None:
    service = Service(Path("/opt/an edged/bin/python3"), Path('/etc/100%/$x"\\.yaml'))
    (command,) = [line for line in unit_text(service).splitlines() if line.startswith("ExecStart")]
    words = shlex.split(command.removeprefix("ExecStart="))
    assert words[0] == "/opt/an edged/bin/python3"
    assert words[-1] == '/etc/100%%/$$x"\\.yaml'


REFUSED = [
    (Service(Path("/home/pi/venv/bin/python3")), "cannot access home folders"),
    (Service(Path("/tmp/venv/bin/python3")), "cannot access home folders"),
    (Service(OPT.interpreter, Path("/root/edged.yaml")), "move it"),
    (Service(OPT.interpreter, Path("/etc/a\nUser=root")), "cannot contain this path"),
    (Service(OPT.interpreter, Path("/etc/edged/none.yaml")), "no such file"),
    (Service(Path("/opt/a$b/bin/python3")), "cannot start a program with this path"),
    (Service(OPT.interpreter, user="no such\nuser"), "no such user"),
]


@pytest.mark.parametrize(("service", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_could_not_run_is_refused_before_anything_is_written(
    tmp_path: Path, service: Service, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        installed(tmp_path, service)
    assert list(tmp_path.iterdir()) == []


def test_an_interpreter_that_a_link_leads_home_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"^{tmp_path}/python3: .*cannot access"):
        installed(tmp_path, Service(Path("/proc/self/cwd/python3")))


def test_a_mask_of_the_administrator_stays(tmp_path: Path) -> None:
    unit = tmp_path / UNIT
    unit.parent.mkdir(parents=True)
    unit.symlink_to("/dev/null")
    with pytest.raises(InputError, match=r"is masked.*systemctl unmask edged"):
        installed(tmp_path)
    assert unit.readlink() == Path("/dev/null")


def test_without_systemd_nothing_is_written(tmp_path: Path) -> None:
    def run(command: Sequence[str]) -> None:
        raise EdgedError("this system has no systemd")

    with pytest.raises(EdgedError, match="no systemd"):
        install(OPT, root=tmp_path, run=run, user_id=0, code=CODE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_everybody_may_read_and_nobody_write_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        installed(tmp_path)
    finally:
        os.umask(before)
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_first_configuration_may_hold_passwords(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nedged:x:977:976::/:/bin/false\n")
    config = tmp_path / "etc/edged/edged.yaml"
    assert (
        f"{CONFIG}: readable by root and the service only, as it may hold passwords"
        in installed(tmp_path)
    )
    status = config.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, 976, 0o640)
    config.chmod(0o600)  # from here on it is the administrator's
    installed(tmp_path)
    assert config.stat().st_mode & 0o777 == 0o600


def test_the_packages_own_unit_is_left_alone(tmp_path: Path) -> None:
    packaged = tmp_path / PACKAGED_UNIT
    packaged.parent.mkdir(parents=True)
    packaged.touch()
    with pytest.raises(InputError, match="systemctl edit edged"):
        installed(tmp_path)
    assert not (tmp_path / "etc").exists()


def test_only_root_installs(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"only root can .*: sudo /opt/edged/bin/edged service install$"
    ):
        install(OPT, root=tmp_path, run=Commands(), user_id=1000, code=CODE)
    assert list(tmp_path.iterdir()) == []


def test_what_was_installed_goes_and_what_the_administrator_made_stays(tmp_path: Path) -> None:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").touch()
    installed(tmp_path)
    own = tmp_path / f"{UNIT}.d/door.conf"
    own.write_text("[Service]\n")
    (tmp_path / "var/lib/edged").mkdir(parents=True)
    run = Commands()
    done = uninstall(OPT.interpreter, root=tmp_path, run=run, user_id=0)
    assert run.seen == [
        ["systemctl", "--now", "disable", "edged.service"],
        ["systemctl", "daemon-reload"],
    ]
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"etc/edged/edged.yaml", "etc/nv_tegra_release", str(own.relative_to(tmp_path))}
    assert [line for line in done if line.startswith("removed")] == [
        f"removed: /{UNIT}",
        f"removed: /{UNIT}.d/jetson.conf",
        "removed: /etc/sysusers.d/edged.conf",
    ]
    assert done[-1] == (
        "kept, with the user edged: /etc/edged /var/lib/edged "
        "(sudo rm -r /etc/edged /var/lib/edged)"
    )
    with pytest.raises(InputError, match="the service is not installed"):
        uninstall(OPT.interpreter, root=tmp_path, run=run, user_id=0)
    assert [line[:8] for line in installed(tmp_path)[:3]] == ["written:"] * 3


def test_an_image_is_freed_of_it_without_a_running_systemd(tmp_path: Path) -> None:
    installed(tmp_path)
    run = Commands()
    uninstall(OPT.interpreter, root=tmp_path, run=run, user_id=0)
    assert run.seen == [["systemctl", f"--root={tmp_path}", "disable", "edged.service"]]
    assert not (tmp_path / UNIT).parent.joinpath("edged.service.d").exists()


def test_what_uninstall_refuses(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"only root can .*: sudo /opt/edged/bin/edged service uninstall$"
    ):
        uninstall(OPT.interpreter, root=tmp_path, run=Commands(), user_id=1000)
    unit, packaged = tmp_path / UNIT, tmp_path / PACKAGED_UNIT
    unit.parent.mkdir(parents=True)
    unit.symlink_to("/dev/null")
    with pytest.raises(InputError, match="the service is not installed"):
        uninstall(OPT.interpreter, root=tmp_path, run=Commands(), user_id=0)
    packaged.parent.mkdir(parents=True)
    packaged.touch()
    with pytest.raises(InputError, match="sudo apt remove edged"):
        uninstall(OPT.interpreter, root=tmp_path, run=Commands(), user_id=0)
    assert unit.is_symlink() and packaged.exists()


def test_a_disk_that_takes_nothing_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("not a folder")
    with pytest.raises(EdgedError, match=rf"/{UNIT}: cannot be written"):
        installed(tmp_path)


def test_a_command_that_is_missing_or_fails_is_one_message() -> None:
    with pytest.raises(EdgedError, match="this system has no systemd"):
        run_command(["no-such-command-of-systemd"])
    with pytest.raises(EdgedError, match=r"sh -c .* failed .*said why"):
        run_command(["sh", "-c", "echo said why >&2; exit 1"])


def test_print_needs_no_root_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["service", "install", "--print", "--user", "pi", "--config", "garden.yaml"]) == 0
    shown = capsys.readouterr().out
    assert f"{sys.executable} -I -m edged run -c {Path.cwd()}/garden.yaml\n" in shown
    assert "\nUser=pi\n" in shown
