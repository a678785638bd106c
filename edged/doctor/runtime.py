"""Libraries: each is imported in a child process, as it may crash."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from edged.doctor.child import Outcome
from edged.doctor.finding import Finding, error, info, ok, warning
from edged.doctor.subject import Subject
from edged.errors import REINSTALL, EdgedError
from edged.service.install import PACKAGED_UNIT

IMPORT_SECONDS = 60.0
"""A Raspberry Pi 3 needs many seconds to read OpenCV from a slow card."""

PACKAGES = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "av": "av",
    "yaml": "pyyaml",
    "jsonschema": "jsonschema",
    "prometheus_client": "prometheus-client",
}
"""Module → distribution; the runtimes have checks of their own."""
_OPENCV = (
    *("opencv-python", "opencv-python-headless"),
    *("opencv-contrib-python", "opencv-contrib-python-headless"),
)
_ABI = re.compile(
    r"compiled using NumPy 1|_ARRAY_API not found|compiled against A[PB]I version"
    r"|multiarray failed to import|dtype size changed"
)


def packages(subject: Subject) -> Iterator[Finding]:
    good = []
    for module, distribution in PACKAGES.items():
        outcome = imported(subject, module)
        problem = diagnosis(
            outcome, module, _reinstall(subject, distribution), subject.version("numpy")
        )
        if problem is None:
            good.append(f"{distribution} {subject.version(distribution) or outcome.out}")
        else:
            yield problem
    if good:
        yield ok(", ".join(good))


def onnxruntime(subject: Subject) -> Iterator[Finding]:
    """Versions known to crash are not imported."""
    from edged.backends.onnxruntime import check_version

    try:
        check_version(subject.version("onnxruntime") or "")
    except EdgedError as failure:
        yield error(failure.what, f"onnxruntime {failure.got}", failure.fix)
        return
    outcome = imported(subject, "onnxruntime")
    problem = diagnosis(
        outcome, "onnxruntime", _reinstall(subject, "onnxruntime"), subject.version("numpy")
    )
    yield problem or ok(f"onnxruntime {outcome.out}")


def ncnn(subject: Subject) -> Iterator[Finding]:
    outcome = imported(subject, "ncnn")
    problem = diagnosis(outcome, "ncnn", _reinstall(subject, "ncnn"), subject.version("numpy"))
    if problem is None:
        yield ok(f"ncnn {outcome.out}")
    elif subject.config is not None and subject.config.backend == "ncnn":
        yield problem
    elif "No module named 'ncnn'" in (problem.got or ""):
        fix = f"{subject.python[0]} -m pip install ncnn"
        yield info("ncnn is not installed; it may run float networks faster", fix=fix)
    else:
        yield warning(f"networks do not run on ncnn: {problem.what}", problem.got, problem.fix)


def opencv_wheels(subject: Subject) -> Iterator[Finding]:
    """They share a folder, so the last one installed overwrites parts of the other."""
    found = {name: version for name in _OPENCV if (version := subject.version(name)) is not None}
    wheels = ", ".join(f"{name} {version}" for name, version in found.items())
    if len(found) > 1:
        fix = f"keep only one: pip uninstall {' '.join(found)}; pip install opencv-python-headless"
        yield error("several OpenCV wheels overwrite each other", wheels, fix)
    elif found.keys() & {"opencv-python", "opencv-contrib-python"}:
        fix = f"pip uninstall {' '.join(found)}; pip install opencv-python-headless"
        yield info("this OpenCV wheel needs desktop libraries", wheels, fix)
    else:
        yield ok(wheels or "no OpenCV wheel; edged uses the system's OpenCV")


def tensorrt(subject: Subject) -> Iterator[Finding]:
    outcome = imported(subject, "tensorrt")
    problem = diagnosis(outcome, "tensorrt", None, subject.version("numpy"))
    if problem is None:
        yield ok(f"TensorRT {outcome.out}")
    elif (rtx := imported(subject, "tensorrt_rtx")).status == 0:
        yield ok(f"TensorRT-RTX {rtx.out}")
    elif subject.config is not None and subject.config.backend.startswith("tensorrt"):
        yield unseen(subject, "tensorrt", problem, "sudo apt install python3-libnvinfer")
    elif subject.is_jetson:
        seen = unseen(subject, "tensorrt", problem, "sudo apt install python3-libnvinfer")
        yield warning(f"networks run on the CPU: {seen.what}", seen.got, seen.fix)
    else:
        yield info("TensorRT is not installed; only NVIDIA GPUs, such as a Jetson's, need it")


def _reinstall(subject: Subject, distribution: str) -> str:
    if (subject.root / PACKAGED_UNIT).exists():
        return REINSTALL
    return f"{subject.python[0]} -m pip install --force-reinstall {distribution}"


def imported(subject: Subject, module: str) -> Outcome:
    """`out` is the module's version and file."""
    code = f"import {module} as m; print(vars(m).get('__version__', ''), vars(m).get('__file__'))"
    outcome = subject.run([*subject.python, "-c", code], IMPORT_SECONDS)
    return Outcome(outcome.status, outcome.out.strip(), outcome.err, outcome.problem)


def diagnosis(
    outcome: Outcome, module: str, reinstall: str | None, numpy_version: str | None
) -> Finding | None:
    """Why an import failed; None if it succeeded. reinstall: command that reinstalls it, None for
    packages of the system.
    """
    if outcome.signal == "SIGILL":
        return error(
            f"{module} crashes: it uses an instruction that this processor does not have",
            outcome.signal,
            "install an older or newer version of it",
        )
    if outcome.signal is not None:
        return error(f"{module} crashes on import", outcome.signal, reinstall)
    if outcome.status is None:
        return error(f"{module} cannot be imported", outcome.said, reinstall)
    mismatch = _ABI.search(outcome.err)
    if mismatch is not None:  # some modules only warn now, and crash later
        return error(
            f"{module} was built for another NumPy ABI",
            f"NumPy {numpy_version or 'unknown'}; {mismatch[0]}",
            f"{reinstall or 'install a build for this NumPy'}, or the NumPy that it needs: "
            "pip install 'numpy<2' if it was built with 1.x",
        )
    if outcome.status == 0:
        return None
    files = re.findall(r'File "([^<"]+)"', outcome.err)
    got = outcome.said + (f", in {files[-1]}" if files else "")
    library = re.search(r"(\S+\.so\S*): cannot open shared object", outcome.err)
    if module == "cv2" and library is not None and library[1].startswith("libGL"):
        fix = "pip uninstall opencv-python; pip install --force-reinstall opencv-python-headless"
        return error("this OpenCV wheel needs desktop libraries", got, fix)
    return error(f"{module} cannot be imported", got, reinstall)


def unseen(subject: Subject, module: str, problem: Finding, install: str) -> Finding:
    """Why a package of the system cannot be imported here."""
    if f"No module named '{module}'" not in (problem.got or ""):
        return problem
    found = sorted((subject.root / "usr/lib").glob(f"python3*/dist-packages/{module}/__init__.py"))
    if not found:
        return error(f"{module} is not installed", problem.got, install)
    folder = f"/{found[0].parent.relative_to(subject.root)}"
    if sys.prefix == sys.base_prefix:
        what = f"{module} is installed for another Python"
        return error(what, folder, "run edged with the system's Python: /usr/bin/python3")
    return error(
        f"{module} is installed, but not visible in this virtual environment",
        folder,
        "create it again: /usr/bin/python3 -m venv --system-site-packages FOLDER",
    )
