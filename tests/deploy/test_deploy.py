"""deploy/: what its files say, by the programs that read them; without a daemon."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from edged.config.schema import json_schema
from tests.rig.paths import DASHBOARDS, DEPLOY, GRAFANA, PROMETHEUS

ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "rules/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]


def checked(program: str, *arguments: str | Path, package: str) -> str:
    """What it prints; fails with that when it finds anything wrong."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed (apt-get install {package})")
    done = subprocess.run(
        [path, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.servers
def test_prometheus_takes_configuration_and_rules() -> None:
    said = checked(
        "promtool", "check", "config", PROMETHEUS / "prometheus.yml", package="prometheus"
    )
    assert f"{len(ALERTS)} rules found" in said


@pytest.mark.servers
def test_prometheus_takes_the_parts_that_are_commented_out(tmp_path: Path) -> None:
    text = (PROMETHEUS / "prometheus.yml").read_text()
    parts = r"^(    )# ((?:http_sd_configs|scheme|tls_config|authorization):.*|  .*)$"
    whole = re.sub(parts, r"\1\2", text, flags=re.MULTILINE)
    job = yaml.safe_load(whole)["scrape_configs"][0]
    assert {"http_sd_configs", "scheme", "tls_config", "authorization"} <= job.keys()
    (tmp_path / "prometheus.yml").write_text(whole)
    for name in ("devices-ca.pem", "devices-token"):
        (tmp_path / "secrets").mkdir(exist_ok=True)
        (tmp_path / "secrets" / name).write_text("")
    arguments = ("check", "config", "--syntax-only", tmp_path / "prometheus.yml")
    checked("promtool", *arguments, package="prometheus")


@pytest.mark.servers
def test_prometheus_takes_the_agents_configuration() -> None:
    arguments = ("check", "config", "--agent", PROMETHEUS / "agent.yml")
    checked("promtool", *arguments, package="prometheus")


@pytest.mark.servers
def test_rules_do_what_their_tests_say() -> None:
    tests = sorted((PROMETHEUS / "tests").glob("*.yml"))
    said = checked("promtool", "test", "rules", *tests, package="prometheus")
    assert said.count("SUCCESS") == len(tests) > 0


def test_each_alert_has_a_test_that_fires_and_one_that_does_not() -> None:
    cases = [
        case
        for file in (PROMETHEUS / "tests").glob("*.yml")
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
    ]
    names = {rule["alert"] for rule in ALERTS}
    assert len(names) == len(ALERTS)
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    runbook = (PROMETHEUS / "runbook.md").read_text()
    sections = dict(
        re.findall(r"^## (\w+)\n\n(.*?)(?=\n## |\Z)", runbook, re.MULTILINE | re.DOTALL)
    )
    assert set(sections) == {rule["alert"] for rule in ALERTS}
    for rule in ALERTS:
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert len(sections[rule["alert"]]) > 100


@pytest.mark.servers
def test_alertmanager_takes_its_configuration_and_sends_what_is_critical_at_once() -> None:
    file = DEPLOY / "alertmanager/alertmanager.yml"
    assert "SUCCESS" in checked("amtool", "check-config", file, package="prometheus-alertmanager")
    for severity, receiver in (("critical", "mail-now"), ("warning", "mail")):
        arguments = ("config", "routes", "test", f"--config.file={file}", f"severity={severity}")
        said = checked("amtool", *arguments, package="prometheus-alertmanager")
        assert said.splitlines()[0].strip() == receiver


def test_alertmanager_names_alerts_that_exist() -> None:
    text = (DEPLOY / "alertmanager/alertmanager.yml").read_text()
    patterns = re.findall(r'alertname!?=~?"([^"]+)"', text)
    assert patterns
    names = {rule["alert"] for rule in ALERTS}
    for pattern in "|".join(patterns).split("|"):
        assert any(re.fullmatch(pattern, name) for name in names), pattern


def test_the_dashboards_are_what_the_generator_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, GRAFANA / "build.py", tmp_path], check=True, timeout=60)
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert made == {file.name: file.read_text() for file in DASHBOARDS}
    assert made.keys() == {"fleet.json", "device.json"}


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_query_asks_the_datasource_that_the_reader_chooses(file: Path) -> None:
    """An import by hand finds no datasource of our provisioning."""
    text = file.read_text()
    board = json.loads(text)
    chosen, *others = board["templating"]["list"]
    assert (chosen["name"], chosen["type"], chosen["query"]) == (
        *("datasource", "datasource", "prometheus"),
    )
    asking = [each for each in others if each["type"] == "query"]
    asking += [each for each in board["panels"] if each["type"] != "row"]
    asking += [target for panel in board["panels"] for target in panel.get("targets", ())]
    for each in asking:
        assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    for each in provisioned["datasources"]:
        assert each["uid"] not in text


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_panels_lie_side_by_side(file: Path) -> None:
    board = json.loads(file.read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        grid = panel["gridPos"]
        cells = {
            (column, line)
            for column in range(grid["x"], grid["x"] + grid["w"])
            for line in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken and grid["x"] + grid["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_device_page_shows_what_is_promised() -> None:
    board = json.loads((GRAFANA / "dashboards/device.json").read_text())
    panels = {panel["title"]: panel for panel in board["panels"]}
    latency = panels["Latency against the budget"]
    assert len(latency["targets"]) == 4
    (drawn,) = latency["fieldConfig"]["overrides"]
    assert re.search(drawn["matcher"]["options"].strip("/"), latency["targets"][0]["legendFormat"])
    assert panels["Variant in use"]["type"] == "state-timeline"
    assert [each["name"] for each in board["templating"]["list"]] == [
        *("datasource", "device", "camera", "view"),
    ]


COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_the_central_stack_is_pinned_on_loopback_and_made_of_files_that_exist(name: str) -> None:
    service = COMPOSE["services"][name]
    assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+", service["image"])
    for port in service["ports"]:
        assert port.startswith(("127.0.0.1:", "${EDGED_LISTEN:-127.0.0.1}:"))
    for volume in service["volumes"]:
        source = volume.split(":")[0]
        assert (
            (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
        )
    for secret in service.get("secrets", ()):
        assert COMPOSE["secrets"][secret] == {"file": f"./secrets/{secret}"}


def test_containers_can_read_what_is_mounted_although_the_operators_umask_is_077(
    tmp_path: Path,
) -> None:
    readme = (DEPLOY / "README.md").read_text()
    (commands,) = re.findall(r"^    cd deploy\n(.*?)^    docker compose up", readme, re.M | re.S)
    stack = tmp_path / "deploy"
    shutil.copytree(DEPLOY, stack, ignore=shutil.ignore_patterns("secrets", "__pycache__"))
    script = f"umask 077\nchmod -R go= .\n{commands}"
    subprocess.run(["bash", "-ec", script], cwd=stack, check=True, timeout=60)
    assert (stack / "secrets").stat().st_mode & 0o077 == 0
    for service in COMPOSE["services"].values():
        mounted = [stack / each.split(":")[0] for each in service["volumes"] if each[0] == "."]
        mounted += [stack / COMPOSE["secrets"][each]["file"] for each in service.get("secrets", ())]
        for path in [*mounted, *(inner for each in mounted for inner in each.rglob("*"))]:
            assert path.stat().st_mode & 0o005 == (0o005 if path.is_dir() else 0o004), path


def test_every_key_of_a_configuration_travels() -> None:
    template = (DEPLOY / "ansible/edged.yaml.j2").read_text()
    for key in json_schema()["properties"]:
        assert re.search(rf"'{key}'|^{key}: ", template, re.MULTILINE), key


def test_what_ansible_needs_for_packages_is_there_before_the_package() -> None:
    (play,) = yaml.safe_load((DEPLOY / "ansible/rollout.yml").read_text())
    names = [task["name"] for task in play["tasks"][0]["block"]]
    needed = [name for name in names if name.startswith("Install ")]
    assert needed[0] == "Install python3-apt, which Ansible needs for packages"
    assert "python3-apt" in (DEPLOY / "README.md").read_text()


@pytest.mark.servers
def test_ansible_takes_the_playbook_and_edged_the_configuration_it_writes(tmp_path: Path) -> None:
    folder = DEPLOY / "ansible"
    playbook = ("-i", folder / "inventory.yml", folder / "rollout.yml")
    checked("ansible-playbook", *playbook, "--syntax-check", package="ansible-core")
    written = tmp_path / "edged.yaml"
    template = f"src={folder / 'edged.yaml.j2'} dest={written}"
    values = {
        "listen": "127.0.0.1:9640",
        "min_fps": "{{ 2 + 3 }}",
        "keep_warm": False,
        "threads": [1, 2],
        "events": {"visitor": {"class": "golf ball", "above": 0.5, "snapshot": True}},
    }
    variables = json.dumps(values)
    arguments = ("hall", "-i", folder / "inventory.yml", "-c", "local", "-e", variables)
    more = ("-e", f"ansible_python_interpreter={sys.executable}")
    checked("ansible", *arguments, *more, "-m", "template", "-a", template, package="ansible-core")
    done = subprocess.run(
        [sys.executable, "-m", "edged", "check", written],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = yaml.safe_load(written.read_text())
    assert (document["min_fps"], document["keep_warm"], document["threads"]) == (5, False, [1, 2])
    assert document["events"]["visitor"]["above"] == 0.5
    assert " ".join(sorted(document)) == "cameras events http keep_warm min_fps results threads"
