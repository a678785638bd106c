"""deploy/container/ and deploy/kubernetes/: what their files say, by the programs that read them.

`make test-image` builds the image and runs it: tests/container.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from edged.web.password import new_token, token_hash
from tests.rig.package import build
from tests.rig.paths import DEPLOY, PROJECT

CONTAINER, KUBERNETES = DEPLOY / "container", DEPLOY / "kubernetes"
CONTAINERFILE = (CONTAINER / "Containerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((CONTAINER / "compose.yaml").read_text())
DOCUMENTS: dict[str, dict[str, Any]] = {
    each["kind"]: each for each in yaml.safe_load_all((KUBERNETES / "edged.yaml").read_text())
}
MONITOR: dict[str, Any] = yaml.safe_load((KUBERNETES / "podmonitor.yaml").read_text())
POD: dict[str, Any] = DOCUMENTS["DaemonSet"]["spec"]["template"]
USER = 9640

SELECTOR = {"matchLabels": None, "matchExpressions": [{"key", "operator", "values"}]}
SECRET_KEY = {"key", "name", "optional"}
TLS = {
    *("ca", "cert", "insecureSkipVerify", "keySecret", "maxVersion", "minVersion", "serverName"),
}
RELABELING = {
    *("action", "modulus", "regex", "replacement", "separator", "sourceLabels", "targetLabel"),
}
LIMITS = ("bodySizeLimit", "labelLimit", "labelNameLengthLimit", "labelValueLengthLimit")
POD_MONITOR: dict[str, Any] = {
    **dict.fromkeys((*LIMITS, "sampleLimit", "targetLimit", "keepDroppedTargets")),
    **dict.fromkeys(("jobLabel", "podTargetLabels", "scrapeClass", "scrapeProtocols")),
    **dict.fromkeys(("fallbackScrapeProtocol", "selectorMechanism")),
    "attachMetadata": {"node": None},
    "namespaceSelector": {"any": None, "matchNames": None},
    "selector": SELECTOR,
    "podMetricsEndpoints": [
        {
            **dict.fromkeys(("port", "portNumber", "path", "scheme", "params", "interval")),
            **dict.fromkeys(("scrapeTimeout", "honorLabels", "honorTimestamps", "enableHttp2")),
            **dict.fromkeys(("followRedirects", "filterRunning", "trackTimestampsStaleness")),
            **dict.fromkeys(("proxyUrl", "noProxy", "proxyFromEnvironment", "proxyConnectHeader")),
            "authorization": {"type": None, "credentials": SECRET_KEY},
            "basicAuth": {"username": SECRET_KEY, "password": SECRET_KEY},
            "oauth2": None,
            "tlsConfig": TLS,
            "relabelings": [RELABELING],
            "metricRelabelings": [RELABELING],
        }
    ],
}
"""Fields of PodMonitor.spec that the Prometheus Operator documents (0.91, without those that it
calls deprecated or ties to native histograms). None: not looked into."""


def foreign(value: Any, known: Any, path: str = "spec") -> list[str]:
    """What is not among the documented fields."""
    if known is None:
        return []
    if isinstance(known, list):
        return [each for part in value for each in foreign(part, known[0], f"{path}[]")]
    if not isinstance(known, Mapping):
        known = dict.fromkeys(known)
    return [
        found
        for key, inner in value.items()
        for found in (
            foreign(inner, known[key], f"{path}.{key}") if key in known else [f"{path}.{key}"]
        )
    ]


# ----------------------------------------------------------------------------------------- image


def instruction(name: str) -> str:
    """What the Containerfile says there, in one line."""
    joined = CONTAINERFILE.replace("\\\n", " ")
    (found,) = re.findall(rf"^{name} (.+)$", joined, re.MULTILINE)
    return str(found)


def test_the_image_runs_the_daemon_as_a_user_of_its_own() -> None:
    assert instruction("USER") == f"{USER}:{USER}"
    assert f"useradd --uid {USER} " in CONTAINERFILE
    assert json.loads(instruction("ENTRYPOINT")) == ["edged"]
    assert json.loads(instruction("CMD")) == ["run", "-c", "/etc/edged/edged.yaml"]
    assert instruction("STOPSIGNAL") == "SIGTERM"
    volumes = set(instruction("VOLUME").split())
    assert volumes == {"/etc/edged", "/var/lib/edged", "/var/cache/edged"}
    assert volumes >= set(re.findall(r"_DIRECTORY=(\S+)", instruction("ENV")))


def test_the_health_check_is_a_command_that_there_is() -> None:
    command = json.loads(instruction("HEALTHCHECK").rpartition(" CMD ")[2])
    words = [sys.executable, "-m", *command, "--url", "http://127.0.0.1:1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3 and "the daemon does not answer" in done.stderr


def test_every_file_names_the_image_that_make_makes() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    assert "--tag edged:$(VERSION)-$(ARCH)" in makefile
    image = f"edged:{build.version()}-arm64"
    quadlet = (CONTAINER / "edged.container").read_text()
    assert f"\nImage=localhost/{image}\n" in quadlet
    assert COMPOSE["services"]["edged"]["image"] == image
    containers = (*POD["spec"]["initContainers"], *POD["spec"]["containers"])
    assert {each["image"] for each in containers} == {image}


def test_compose_keeps_what_the_service_of_the_package_keeps() -> None:
    service = COMPOSE["services"]["edged"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    mounted = dict(volume.split(":")[:2] for volume in service["volumes"])
    zone = mounted.pop("/etc/localtime")
    assert zone == "/etc/localtime"
    assert set(mounted.values()) == set(instruction("VOLUME").split())
    assert {name for name in mounted if not name.startswith("/")} == set(COMPOSE["volumes"])


def test_quadlet_makes_a_unit_of_it(tmp_path: Path) -> None:
    quadlet = shutil.which("quadlet", path="/usr/libexec/podman:/usr/lib/podman")
    if quadlet is None:
        pytest.skip("quadlet is not installed (Podman 5)")
    shutil.copy(CONTAINER / "edged.container", tmp_path)
    done = subprocess.run(
        [quadlet, "-dryrun"],
        capture_output=True, text=True, check=True, timeout=60,
        env={"QUADLET_UNIT_DIRS": str(tmp_path)},
    )  # fmt: skip
    (start,) = re.findall(r"^ExecStart=(.+)$", done.stdout, re.MULTILINE)
    for option in ("--read-only", "--cap-drop all", "--pids-limit 512", "--stop-timeout 10"):
        assert option in start
    assert start.endswith(f" localhost/edged:{build.version()}-arm64")


# ------------------------------------------------------------------------------------ kubernetes


@pytest.mark.parametrize("version", ["1.29", "1.37"])
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_kubernetes_takes_it(kind: str, version: str) -> None:
    kubernetes_validate.validate(DOCUMENTS[kind], version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    wrong = json.loads(json.dumps(DOCUMENTS["DaemonSet"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


def test_the_pod_monitor_has_the_operators_fields_and_finds_the_pods() -> None:
    assert (MONITOR["apiVersion"], MONITOR["kind"]) == ("monitoring.coreos.com/v1", "PodMonitor")
    spec = MONITOR["spec"]
    assert foreign(spec, POD_MONITOR) == []
    assert foreign({"selector": {"labels": {}}, "podMetricsEndpoint": []}, POD_MONITOR) == [
        *("spec.selector.labels", "spec.podMetricsEndpoint"),
    ]
    labels = POD["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert labels[spec["jobLabel"]] == "edged"  # what the rules ask for
    (endpoint,) = spec["podMetricsEndpoints"]
    (container,) = POD["spec"]["containers"]
    assert endpoint["port"] in {port["name"] for port in container["ports"]}
    assert [each["targetLabel"] for each in endpoint["relabelings"]] == ["device"]
    assert MONITOR["metadata"]["namespace"] == DOCUMENTS["DaemonSet"]["metadata"]["namespace"]


def test_the_pod_runs_as_the_images_user_and_mounts_its_volumes() -> None:
    spec = POD["spec"]
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["runAsGroup"] == USER
    (container,), (owner,) = spec["containers"], spec["initContainers"]
    assert owner["command"] == ["chown", f"{USER}:{USER}", "/var/lib/edged"]
    mounted = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    assert set(mounted) >= set(instruction("VOLUME").split())
    assert set(mounted.values()) == {each["name"] for each in spec["volumes"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_edged_takes_the_configuration_of_the_config_map(tmp_path: Path) -> None:
    (container,) = POD["spec"]["containers"]
    variables = {each["name"] for each in container["env"]}
    path = tmp_path / "edged.yaml"
    path.write_text(DOCUMENTS["ConfigMap"]["data"]["edged.yaml"])
    path.chmod(0o600)
    values = {"TOKEN_HASH": token_hash(new_token()), "YARD_PASSWORD": "word"}
    assert variables == values.keys()
    done = subprocess.run(
        [sys.executable, "-m", "edged", "check", path],
        capture_output=True, text=True, check=False, timeout=60,
        env={**values, "EDGED_CONTAINER": "1", "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "0.0.0.0 is reachable from other machines" in done.stderr  # so it listens there
