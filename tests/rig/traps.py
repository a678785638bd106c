"""What a device in trouble shows: a file or a program's answer for each check of the doctor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edged.doctor.child import Outcome
from edged.doctor.finding import Severity
from edged.service.install import shipped
from tests.rig.device_files import ORIN_NX_POWER
from tests.rig.doctored import (
    ERROR,
    ETC_UNIT,
    INFO,
    JETSON,
    OURS,
    PACKAGED,
    RUNS,
    SYNTHETIC,
    WARNING,
    cannot_import,
    config,
    distribution,
)


@dataclass(frozen=True)
class Trap:
    """said: a part of one finding of that severity."""

    check: str
    severity: Severity
    said: str
    files: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Outcome] = field(default_factory=dict)


POLICY = "sys/devices/system/cpu/cpufreq/policy0/"
FLAGS = "sys/devices/platform/soc/soc:firmware/get_throttled"
NO_TENSORRT = {**cannot_import("tensorrt"), **cannot_import("tensorrt_rtx")}
NO_DECODER = {"gst-inspect-1.0": Outcome(1)}


def measured(said: str) -> dict[str, Outcome]:
    return {"hardware.measure": Outcome(0, said + "\n")}


TRAPS = [
    Trap(
        "system.dot_product",
        INFO,
        "INT8 networks may be slower",
        {"proc/cpuinfo": "Features\t: fp asimd crc32\n"},
    ),
    Trap(
        "system.memory",
        WARNING,
        "less than 256 MB of memory available (got 100 of 500 MB",
        {"proc/meminfo": "MemTotal: 512000 kB\nMemAvailable: 102400 kB\n"},
    ),
    Trap(
        "system.memory",
        WARNING,
        "swap is nearly full",
        {
            "proc/meminfo": "MemTotal: 999999 kB\nMemAvailable: 800000 kB\n"
            "SwapTotal: 100000 kB\nSwapFree: 5000 kB\n"
        },
    ),
    Trap("system.memory", INFO, "cannot be read", {"proc/meminfo": "\n"}),
    Trap("power.throttling", ERROR, "under voltage, now", {FLAGS: "50001\n"}),
    Trap("power.throttling", WARNING, "under voltage, since boot", {FLAGS: "10000\n"}),
    Trap("power.throttling", WARNING, "throttled, now", {FLAGS: "4\n"}),
    Trap("power.throttling", WARNING, "throttled, since boot", {FLAGS: "40000\n"}),
    Trap("power.throttling", WARNING, "frequency capped, now", {FLAGS: "2\n"}),
    Trap("power.throttling", INFO, "soft temperature limit, since boot", {FLAGS: "80000\n"}),
    Trap(
        "power.throttling",
        ERROR,
        "under voltage, now",
        answers={"vcgencmd": Outcome(0, "throttled=0x1\n")},
    ),
    Trap(
        "power.governor",
        WARNING,
        "keeps the CPU at its lowest clock (got powersave on policy0)",
        {POLICY + "scaling_governor": "powersave\n", POLICY + "scaling_driver": "cpufreq-dt\n"},
    ),
    Trap(
        "power.governor",
        INFO,
        "got 1500 of 2400 MHz",
        {POLICY + "scaling_max_freq": "1500000\n"},
    ),
    Trap(
        "power.mode",
        INFO,
        "limits clocks or cores (got 15W)",
        JETSON,
        {"nvpmodel": Outcome(0, "NV Power Mode: 15W\n0\n")},
    ),
    Trap(
        "power.mode",
        INFO,
        "is unknown (got timed out after 10 s)",
        JETSON,
        {"nvpmodel": Outcome(None, problem="timed out after 10 s")},
    ),
    Trap(
        "power.limit",
        WARNING,
        "nothing measures the power of the whole device (got max_power_w 10)",
        config("max_power_w: 10\n" + SYNTHETIC),
    ),
    Trap(
        "power.limit",
        WARNING,
        "its sensor gives no reading",
        config("max_power_w: 10\n" + SYNTHETIC)
        | ORIN_NX_POWER
        | {"sys/class/hwmon/hwmon1/curr1_input": ""},
    ),
    Trap(
        "power.temperature",
        WARNING,
        "no sensor gives the processor's temperature (got max_temperature_c 75); remove it",
        config("max_temperature_c: 75\n" + SYNTHETIC),
    ),
    Trap(
        "runtime.packages",
        ERROR,
        "av cannot be imported (got ModuleNotFoundError: No module named 'av'); python3 -m pip",
        answers=cannot_import("av"),
    ),
    Trap(
        "runtime.packages",
        ERROR,
        "No module named 'av'); sudo apt install --reinstall ./edged_*.deb (",
        {PACKAGED: ""},
        cannot_import("av"),
    ),
    Trap(
        "runtime.packages",
        ERROR,
        "cv2 was built for another NumPy ABI (got NumPy 2.3.1; compiled using NumPy 1)",
        distribution("numpy", "2.3.1"),
        {
            "import cv2 ": Outcome(
                0, "4.8\n", "A module that was compiled using NumPy 1.x cannot be run in\n"
            )
        },
    ),
    Trap(
        "runtime.packages",
        ERROR,
        "this OpenCV wheel needs desktop libraries",
        answers={
            "import cv2 ": Outcome(
                1,
                err="ImportError: libGL.so.1: cannot open shared object file: "
                "No such file or directory\n",
            )
        },
    ),
    Trap(
        "runtime.packages",
        ERROR,
        "jsonschema cannot be imported (got timed out after 60 s)",
        answers={"import jsonschema ": Outcome(None, problem="timed out after 60 s")},
    ),
    Trap(
        "runtime.onnxruntime",
        ERROR,
        "it uses an instruction that this processor does not have (got SIGILL)",
        answers={"import onnxruntime ": Outcome(-4)},
    ),
    Trap(
        "runtime.onnxruntime",
        ERROR,
        "crashes with an illegal instruction on a Raspberry Pi 4 (got onnxruntime 1.21.0)",
        distribution("onnxruntime", "1.21.0"),
    ),
    Trap(
        "runtime.onnxruntime",
        ERROR,
        "crashes on import (got SIGSEGV)",
        answers={"import onnxruntime ": Outcome(-11)},
    ),
    Trap(
        "runtime.ncnn",
        INFO,
        "ncnn is not installed; it may run float networks faster; python3 -m pip install ncnn",
        answers=cannot_import("ncnn"),
    ),
    Trap(
        "runtime.ncnn",
        WARNING,
        "networks do not run on ncnn: ncnn crashes: it uses an instruction",
        answers={"import ncnn ": Outcome(-4)},
    ),
    Trap(
        "runtime.ncnn",
        ERROR,
        "ncnn cannot be imported (got ModuleNotFoundError: No module named 'ncnn')",
        config("backend: ncnn\n" + SYNTHETIC),
        cannot_import("ncnn"),
    ),
    Trap(
        "runtime.opencv_wheels",
        ERROR,
        "overwrite each other (got opencv-python 4.11.0, opencv-python-headless 4.12.0)",
        {
            **distribution("opencv-python", "4.11.0"),
            **distribution("opencv-python-headless", "4.12.0"),
        },
    ),
    Trap(
        "runtime.opencv_wheels",
        INFO,
        "needs desktop libraries",
        distribution("opencv-contrib-python", "4.11.0"),
    ),
    Trap(
        "runtime.tensorrt",
        INFO,
        "only NVIDIA GPUs, such as a Jetson's",
        answers=NO_TENSORRT,
    ),
    Trap(
        "runtime.tensorrt",
        WARNING,
        "networks run on the CPU: tensorrt is not installed",
        JETSON,
        NO_TENSORRT,
    ),
    Trap(
        "runtime.tensorrt",
        Severity.OK,
        "TensorRT-RTX 1.2.3",
        answers=cannot_import("tensorrt"),
    ),
    Trap(
        "runtime.tensorrt",
        WARNING,
        "(got /usr/lib/python3.10/dist-packages/tensorrt)",
        {**JETSON, "usr/lib/python3.10/dist-packages/tensorrt/__init__.py": ""},
        NO_TENSORRT,
    ),
    Trap(
        "cameras.devices",
        ERROR,
        "/dev/video0: nobody has no permission for this camera",
        {**config("cameras: {door: {source: /dev/video0}}\n"), "dev/video0": ""},
    ),
    Trap(
        "cameras.devices",
        WARNING,
        "in use by another program; edged cannot open it meanwhile (got motion -n (pid 42))",
        {
            **config("cameras: {door: {source: /dev/video0}}\n"),
            "dev/video0": "",
            "proc/42/cmdline": "motion\0-n\0",
            "proc/42/fd/3": "-> /dev/video0",
        },
    ),
    Trap(
        "cameras.gstreamer",
        ERROR,
        "GStreamer is not installed; needed by door (got gst-launch-1.0: No such file",
        config("cameras: {door: {source: csi}}\n"),
        {"gst-launch": Outcome(None, problem="gst-launch-1.0: No such file or directory")},
    ),
    Trap(
        "cameras.gstreamer",
        INFO,
        "GStreamer is not installed; only gst:",
        answers={"gst-launch": Outcome(None, problem="gst-launch-1.0: No such file")},
    ),
    Trap(
        "cameras.gstreamer",
        ERROR,
        "lacks libcamerasrc, needed by libcamera",
        config("cameras: {door: {source: libcamera}}\n"),
        {"--exists libcamerasrc": Outcome(1)},
    ),
    Trap(
        "cameras.gstreamer",
        ERROR,
        "the Jetson's camera service is not running",
        config("cameras: {door: {source: csi}}\n"),
    ),
    Trap(
        "cameras.picamera2",
        ERROR,
        "picamera2 is not installed; needed by door",
        config("cameras: {door: {source: picamera2}}\n"),
        cannot_import("picamera2"),
    ),
    Trap(
        "cameras.picamera2",
        INFO,
        "(got /usr/lib/python3/dist-packages/picamera2)",
        {"usr/lib/python3/dist-packages/picamera2/__init__.py": ""},
        cannot_import("picamera2"),
    ),
    Trap(
        "cameras.picamera2",
        INFO,
        "in /opt/edged/site-packages/libcamera/__init__.py",
        answers={
            "import picamera2 ": Outcome(
                1,
                err='  File "/usr/lib/python3/dist-packages/picamera2/__init__.py", line 4\n'
                '  File "/opt/edged/site-packages/libcamera/__init__.py", line 1\n'
                "ImportError: cannot import name 'controls'\n",
            )
        },
    ),
    Trap(
        "cameras.decoder",
        INFO,
        "no hardware decoder was found",
        config("cameras: {door: {source: 'rtsp://192.0.2.7/'}}\n"),
        NO_DECODER,
    ),
    Trap(
        "cameras.decoder",
        WARNING,
        "no hardware decoder was found (got decode: hardware of door)",
        config("cameras: {door: {source: 'rtsp://192.0.2.7/', decode: hardware}}\n"),
        NO_DECODER,
    ),
    Trap(
        "cameras.decoder",
        WARNING,
        "v4l2h264dec does not work (got v4l2h264dec failed: no memory)",
        config("cameras: {door: {source: clip.mp4, decode: hardware}}\n"),
        {"nvv4l2decoder": Outcome(1), **measured('{"why": "v4l2h264dec failed: no memory"}')},
    ),
    Trap(
        "cameras.decoder",
        INFO,
        "nvv4l2decoder takes 1.2 ms of processor time per frame of H.264 (1920x1080), "
        "software 9.1 ms; set decode: hardware for door",
        config("cameras: {door: {source: clip.mp4}}\n"),
        measured('{"software_ms": 9.1, "hardware_ms": 1.2}'),
    ),
    Trap(
        "cameras.decoder",
        WARNING,
        "software 2.1 ms; remove decode: hardware of door",
        config("cameras: {door: {source: clip.mp4, decode: hardware}}\n"),
        measured('{"software_ms": 2.1, "hardware_ms": 7.5}'),
    ),
    Trap(
        "files.configuration",
        ERROR,
        "cameras.door.fbs: unknown key; did you mean fps?",
        config("cameras: {door: {source: synthetic, fbs: 3}}\n"),
    ),
    Trap(
        "files.configuration",
        WARNING,
        "/dev/video9: No such file or directory",
        config("cameras: {door: {source: /dev/video9}}\n"),
    ),
    Trap(
        "files.configuration",
        WARNING,
        "the variable GATE is not set; to use the variables of the running service",
        config("cameras: {door: {source: '${GATE}'}}\n"),
    ),
    Trap("files.configuration", ERROR, "no read permission for the service's user nobody"),
    Trap(
        "files.family",
        ERROR,
        "not a family",
        config(SYNTHETIC + "model: ./no-such-folder\n"),
    ),
    Trap(
        "files.family",
        ERROR,
        "a network crashes ONNX Runtime on this processor (got SIGILL)",
        answers={"models verify": Outcome(-4)},
    ),
    Trap(
        "files.family",
        ERROR,
        "a.onnx: damaged",
        answers={"models verify": Outcome(2, err="edged: a.onnx: damaged\n")},
    ),
    Trap(
        "files.family",
        ERROR,
        "cannot be verified (got timed out after 300 s)",
        answers={"models verify": Outcome(None, problem="timed out after 300 s")},
    ),
    Trap(
        "files.family",
        INFO,
        "not checked",
        config("cameras: {}\n"),
    ),
    Trap("files.state", WARNING, "a file has the name of a folder", {"var/lib/edged": ""}),
    Trap("files.cache", WARNING, "a file has the name of a folder", {"var/cache/edged": ""}),
    Trap(
        "network.port",
        ERROR,
        "cannot listen on 203.0.113.7:9640 (got Cannot assign requested address)",
        config("cameras: {door: {source: synthetic}}\nhttp: {listen: '203.0.113.7:9640'}\n"),
    ),
    Trap(
        "network.port",
        ERROR,
        "nobody has no permission for ports below 1024",
        config("cameras: {door: {source: synthetic}}\nhttp: {listen: '127.0.0.1:80'}\n"),
    ),
    Trap(
        "service.unit",
        WARNING,
        "differs from the shipped unit (got WatchdogSec, Environment)",
        {ETC_UNIT: OURS.replace("WatchdogSec=10", "WatchdogSec=0") + "Environment=DOOR=hunter2\n"},
    ),
    Trap(
        "service.unit",
        WARNING,
        "overrides the package's unit",
        {PACKAGED: shipped("edged.service")},
    ),
    Trap("service.unit", WARNING, "is masked", {ETC_UNIT: ""}),
    Trap("service.unit", WARNING, "the drop-in for Jetson is missing", JETSON),
    Trap("service.unit", INFO, f"modified by /{ETC_UNIT}.d/a.conf", {f"{ETC_UNIT}.d/a.conf": ""}),
    Trap(
        "service.account",
        ERROR,
        "the service's user no-such-user does not exist",
        {f"{ETC_UNIT}.d/who.conf": "[Service]\nUser=no-such-user\n"},
    ),
    Trap(
        "service.state",
        ERROR,
        "the service has failed (got exit-code)",
        answers={"systemctl": Outcome(0, "ActiveState=failed\nResult=exit-code\n")},
    ),
    Trap(
        "service.state",
        WARNING,
        "restarted 7 times",
        answers={"systemctl": Outcome(0, RUNS.replace("NRestarts=0", "NRestarts=7"))},
    ),
    Trap(
        "service.state",
        WARNING,
        "has not loaded the changed unit",
        answers={"systemctl": Outcome(0, RUNS + "NeedDaemonReload=yes\n")},
    ),
    Trap(
        "service.memory_limit",
        WARNING,
        "MemoryMax= of the unit has no effect",
        {"sys/fs/cgroup/cgroup.controllers": "cpu io pids\n"},
    ),
]
