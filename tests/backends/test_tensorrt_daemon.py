"""The whole daemon with `backend: tensorrt`, from outside: it serves before there are engines, they
take over, the GPU fails and comes back.

Real: the daemon's process, camera, networks, engine cache, the builder's child processes, metrics
and systemd's socket. Not real: two modules that come first on the daemon's path, `tensorrt` and
`cuda.bindings.runtime`. Both are tests/rig/gpu_stand_in.py, which computes engines with ONNX
Runtime: that a plan is a plan, and that it runs on a device, is not proved here
(tests/jetson/README.md says what is proved where).
"""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.rig.daemon import RunningDaemon
from tests.rig.families import make_family
from tests.rig.notify_socket import Supervisor
from tests.rig.paths import PROJECT

CONFIG = """
model: family
backend: tensorrt
latency_budget_ms: 2000
keep_warm: true
cameras:
  door: {source: synthetic, size: 320x240, fps: 20}
http: {listen: 127.0.0.1:0}
"""

TENSORRT = """
import time
from pathlib import Path
from tests.rig.gpu_stand_in import DEVICE_OF_THE_PROCESS, fake_tensorrt

HERE = Path(__file__).parent
_trt = fake_tensorrt(DEVICE_OF_THE_PROCESS)

def Builder(logger):
    while not (HERE / "build").exists():  # the builder's child waits here until it is let
        time.sleep(0.05)
    return _made(logger)

_made = _trt.Builder
_trt.Builder = Builder
globals().update(vars(_trt))
"""

CUDA = """
from pathlib import Path
from tests.rig.gpu_stand_in import DEVICE_OF_THE_PROCESS, Error

class Failing(dict):
    def __contains__(self, name):
        return name == "cudaStreamSynchronize" and FAIL.exists()
    def __getitem__(self, name):
        return Error.cudaErrorDeviceUnavailable

FAIL = Path(__file__).parents[2] / "fail"
DEVICE_OF_THE_PROCESS.failing = Failing()
globals().update(vars(DEVICE_OF_THE_PROCESS.cudart()))
"""


class Gpu:
    """The two modules, and the files that steer them from outside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        package = folder / "cuda/bindings"
        package.mkdir(parents=True)
        for name, text in {
            "tensorrt.py": TENSORRT,
            "cuda/__init__.py": "",
            "cuda/bindings/__init__.py": "",
            "cuda/bindings/runtime.py": CUDA,
        }.items():
            (folder / name).write_text(text)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PYTHONPATH": f"{self.folder}:{PROJECT}",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }

    def let_build(self) -> None:
        (self.folder / "build").touch()

    def fail(self) -> None:
        (self.folder / "fail").touch()

    def work_again(self) -> None:
        (self.folder / "fail").unlink()


@pytest.fixture
def gpu(tmp_path: Path) -> Gpu:
    return Gpu(tmp_path / "gpu")


@pytest.mark.timeout(300)
def test_it_serves_without_engines_they_take_over_and_a_failing_gpu_is_replaced(
    tmp_path: Path, gpu: Gpu
) -> None:
    family = make_family(tmp_path / "family")
    notify = str(tmp_path / "notify")
    supervisor = Supervisor(notify)
    environ = {**gpu.environ, "NOTIFY_SOCKET": notify}
    with closing(supervisor.socket), RunningDaemon(tmp_path, CONFIG, **environ) as daemon:
        supervisor.socket.settimeout(60)
        while supervisor.next() != "READY=1":  # it waits for no engine
            pass
        while not re.match("STATUS=building engine 1 of 2; door: mobilenet", supervisor.next()):
            pass
        daemon.wait_for_results(10)
        assert daemon.metric("edged_engines_building") == 2
        about = {"name": "tensorrt", "gpu": "Stand-in", "compute_capability": "8.7"}
        _, text = daemon.get("/metrics")
        (info,) = re.findall(r"^edged_backend_info\{(.*)\} 1\.0$", text, re.MULTILINE)
        assert all(value in info for value in about.values())
        assert "edged_engine_build_seconds{" not in text

        gpu.let_build()
        daemon.wait_for(lambda: daemon.metric("edged_engines_building") == 0, 120)
        for network in family.networks:
            name = f'edged_engine_build_seconds{{network="{network.path.name}"}}'
            assert daemon.metric(name) > 0
        while not re.match("STATUS=door: ", supervisor.next()):
            pass
        assert daemon.metric("edged_gpu_failures_total") == 0

        gpu.fail()
        daemon.wait_for(lambda: daemon.metric("edged_gpu_failures_total") > 0, 60)
        daemon.wait_for_results(len(daemon.results) + 10)
        assert "GPU failed, using the CPU and retrying later" in daemon.text
        gpu.work_again()
        daemon.wait_for(lambda: "the GPU works again" in daemon.text, 120)
        daemon.wait_for_results(len(daemon.results) + 10)
        assert daemon.stop()[0] == 0

    with RunningDaemon(tmp_path, CONFIG, **gpu.environ) as daemon:  # with what the first has built
        daemon.wait_for_results(10)
        assert "building the engine" not in daemon.text
        gpu.fail()
        daemon.wait_for(lambda: daemon.metric("edged_gpu_failures_total") > 0, 60)
        assert daemon.metric("edged_engines_building") == 0
        assert daemon.stop()[0] == 0


def test_auto_takes_the_gpu_and_says_why(tmp_path: Path, gpu: Gpu) -> None:
    make_family(tmp_path / "family")
    gpu.let_build()
    config = CONFIG.replace("backend: tensorrt", "backend: auto")
    with RunningDaemon(tmp_path, config, "--frames", "3", **gpu.environ) as daemon:
        assert daemon.process.wait(120) == 0
    assert "tensorrt 10.3.0 (TensorRT and a GPU are available)" in daemon.text


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed here")
def test_without_the_libraries_it_does_not_start_and_says_what_helps(tmp_path: Path) -> None:
    make_family(tmp_path / "family")
    (tmp_path / "edged.yaml").write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-m", "edged", "run", "-c", str(tmp_path / "edged.yaml")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "sudo apt install nvidia-jetpack" in done.stderr
    assert "Traceback" not in done.stderr
