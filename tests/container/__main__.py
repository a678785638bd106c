"""What is claimed of the container image, shown with Podman: sudo make test-image ARCH=arm64

Makes Debian's base with mmdebstrap (no registry is asked) and the image on it, then prints a line
for each claim. The exit status is 1 as soon as one does not hold. Another processor is emulated by
qemu-user, as that of a Raspberry Pi 4, with more time for the health check.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

from edged.web.password import new_token, token_hash
from tests.benchmarks.arm.root import describe
from tests.container.held import busiest, held
from tests.container.pages import largest_page
from tests.container.podman import Container, inspect, podman, running
from tests.device.root import ARCHITECTURES, Architecture, apt_sources

SUITE = "bookworm"
MOST_MB = 450
"""Of arm64, whose libraries are larger."""
STOP_SECONDS = 3.0
HEALTH = ["edged", "status", "--health"]
EMULATED_HEALTH_SECONDS = 120
"""In place of those of HEALTHCHECK: under emulation Python alone takes that long to start."""
UNCONFINED = (
    "cameras: {door: {source: synthetic, confine: false, max_fps: 2}}\n"
    "latency_budget_ms: 5000\nbackend: onnxruntime\n"
)
"""In place of the demo: qemu-user has a thread of its own, and no Landlock."""
PAGE = 16384
"""Bytes of a page on a Raspberry Pi 5."""
_SLIM = ("man", "doc", "locale", "info", "groff", "lintian", "linda")
"""What Debian's slim images leave out of /usr/share."""
MERGED = "/usr/share/mmdebstrap/hooks/merged-usr"
PORT = "25A8"
"""9640 as the kernel writes it."""


def say(claim: str, seen: str) -> None:
    print(f"{claim}: {seen}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.container", description=__doc__)
    parser.add_argument("architecture", choices=ARCHITECTURES)
    parser.add_argument("--image", help="one that is there, in place of a new one")
    options = parser.parse_args()
    image = options.image or make_image(options.architecture)
    check_what_it_is(image, options.architecture)
    check_size(image, options.architecture)
    architecture = ARCHITECTURES[options.architecture]
    with tempfile.TemporaryDirectory() as folder:
        emulated: tuple[str, ...] = ()
        command, cameras = ("demo",), "cameras: {door: {source: synthetic}}\n"
        if architecture.machine != platform.machine():
            emulated = emulation(architecture, Path(folder))
            command = ("run", "-c", "/emulated/edged.yaml")
            cameras = UNCONFINED
            say("emulated", f"{' '.join(emulated)}, {UNCONFINED!r}")
        check_golden(image, emulated)
        with running(image, *command, options=emulated) as demo:
            check_demo(demo)
            check_health(demo)
            check_stop(demo)
        check_addresses(image, emulated, cameras)
    return 0


def emulation(architecture: Architecture, folder: Path) -> tuple[str, ...]:
    """Options of `podman run`. qemu-user shows the host's /proc/cpuinfo, in which ONNX Runtime
    finds no processor of its own kind, and crashes."""
    describe(architecture.cpu.removeprefix("cortex-"), folder)
    (folder / "edged.yaml").write_text(UNCONFINED)
    folder.chmod(0o755)
    return (
        f"--env=QEMU_CPU={architecture.cpu}",
        f"--volume={folder}/cpuinfo:/proc/cpuinfo:ro",
        f"--volume={folder}:/emulated:ro",
        f"--health-cmd={json.dumps(HEALTH)}",  # without it Podman keeps the image's timeout
        f"--health-timeout={EMULATED_HEALTH_SECONDS}s",
    )


def make_image(architecture: str) -> str:
    base = f"localhost/edged-base:{SUITE}-{architecture}"
    if podman("image", "exists", base, check=False).returncode != 0:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "root.tar"
            subprocess.run(
                [
                    *("mmdebstrap", "--mode=root", "--variant=minbase", "--quiet"),
                    *("--include=usr-is-merged", f"--hook-dir={MERGED}"),  # not usrmerge, and Perl
                    f"--architectures={architecture}",
                    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _SLIM),
                    *(SUITE, root, *apt_sources(SUITE, Path("/etc/apt"), Path(folder))),
                ],
                check=True,
            )
            podman("import", "--arch", architecture, root, base)
    begun = time.monotonic()
    make = ["make", "image", f"VENV={sys.prefix}", f"ARCH={architecture}", f"BASE={base}"]
    subprocess.run(make, check=True)
    say("made", f"{' '.join(make)}, {time.monotonic() - begun:.0f} s")
    version = subprocess.run(
        ["make", "--silent", "--eval", "v: ; @echo $(VERSION)", "v"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    return f"localhost/edged:{version}-{architecture}"


def check_what_it_is(image: str, architecture: str) -> None:
    about = inspect("image", image)
    config = about["Config"]
    assert about["Architecture"] == architecture, about["Architecture"]
    assert config["User"] == "9640:9640", config["User"]
    assert about["Healthcheck"]["Test"] == ["CMD", *HEALTH], about
    volumes = sorted(config["Volumes"])
    say("image", f"{architecture}, user {config['User']}, health check, volumes {volumes}")


def check_size(image: str, architecture: str) -> None:
    root = Path(podman("image", "mount", image).stdout.strip())
    try:
        parts: Counter[str] = Counter()
        pages: dict[Path, int] = {}
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder, name)
                parts[part(path.relative_to(root))] += path.lstat().st_blocks * 512
                if path.is_file() and not path.is_symlink() and (page := largest_page(path)):
                    pages[path.relative_to(root)] = page
    finally:
        podman("image", "unmount", image)
    megabytes = parts.total() / 1e6
    most = f", at most {MOST_MB} allowed" if architecture == "arm64" else ""
    say("unpacked", f"{megabytes:.0f} MB{most}; its ten largest parts:")
    for name, size in parts.most_common(10):
        print(f"  {size / 1e6:6.1f} MB  {name}")
    assert not most or megabytes <= MOST_MB
    if architecture == "arm64":
        small = [str(path) for path, page in pages.items() if page < PAGE]
        say(f"loaded with pages of {PAGE} bytes", f"all {len(pages)} programs and libraries")
        assert pages and not small, small


def part(path: Path) -> str:
    """What a file counts for: a Python package of edged's, or a folder of the system's."""
    names = path.parts
    if "site-packages" in names:
        at = names.index("site-packages") + 1
        return names[at].removesuffix(".libs").partition("-")[0]
    return "/".join(names[: min(3, len(names) - 1)]) or "/"


def check_golden(image: str, options: tuple[str, ...]) -> None:
    words = ("run", "--rm", "--read-only", *options, image, "models", "verify", "imagenette")
    done = podman(*words)
    say("golden pictures", done.stdout.strip().splitlines()[-1])


def check_demo(demo: Container) -> None:
    seconds = demo.wait_for(
        lambda: demo.execute("edged", "status", "--json").returncode in (0, 1), "the demo answers"
    )
    demo.wait_for(lambda: '"top"' in demo.log(), "a result")
    result = next(line for line in demo.log().splitlines() if '"top"' in line)
    user = Path(f"/proc/{demo.pid}/status").read_text()
    users = next(line for line in user.splitlines() if line.startswith("Uid:")).split()[1:]
    capabilities = next(line for line in user.splitlines() if line.startswith("CapBnd:")).split()[1]
    assert set(users) == {"9640"} and int(capabilities, 16) == 0, user
    written = demo.execute("touch", "/usr/lib/edged/mine")
    assert written.returncode != 0 and "Read-only file system" in written.stderr, written
    say(
        "demo",
        f"answers after {seconds:.1f} s as user {users[0]} without a capability, on a read-only "
        f"root: {json.loads(result)['top']}",
    )
    addresses = listening(demo)
    assert addresses == {"0100007F"}, addresses
    (hint,) = [line for line in demo.log().splitlines() if "--network host" in line]
    say("demo listens on 127.0.0.1", hint)


def listening(container: Container) -> set[str]:
    """Addresses of edged's port, as the kernel writes them."""
    rows = Path(f"/proc/{container.pid}/net/tcp").read_text().splitlines()[1:]
    ends = [row.split()[1].split(":") for row in rows if row.split()[3] == "0A"]
    return {address for address, port in ends if port == PORT}


def check_health(demo: Container) -> None:
    said = [f"well: {demo.health()}"]
    assert demo.health()[0] == 0
    podman("kill", "--signal", "STOP", demo.name)
    stopped = demo.health()
    podman("kill", "--signal", "CONT", demo.name)
    said.append(f"under SIGSTOP: {stopped}")
    assert stopped[0] != 0, stopped
    demo.wait_for(lambda: demo.health()[0] == 0, "health after SIGCONT")
    for _ in range(5):  # a thread that holds Python's lock would stop all others
        with held(busiest(demo.pid)):
            time.sleep(8)
            stuck = demo.health()
        demo.wait_for(lambda: demo.health()[0] == 0, "health after the thread")
        if "no progress" in stuck[1]:
            break
    assert stuck[0] != 0 and "no progress" in stuck[1], stuck
    said += [f"one thread held: {stuck}", f"afterwards: {demo.health()}"]
    say("podman healthcheck run", "\n  " + "\n  ".join(said))


def check_stop(demo: Container) -> None:
    begun = time.monotonic()
    podman("stop", f"--time={STOP_SECONDS:.0f}", demo.name)
    seconds = time.monotonic() - begun
    status = inspect("container", demo.name)["State"]["ExitCode"]
    say("podman stop", f"{seconds:.2f} s, at most {STOP_SECONDS:.0f} allowed; exit status {status}")
    assert status == 0 and seconds <= STOP_SECONDS


def check_addresses(image: str, options: tuple[str, ...], cameras: str) -> None:
    """With a configuration that is mounted: a token opens the port."""
    token = new_token()
    http = {"": "127.0.0.1", f"http: {{token_hashes: ['{token_hash(token)}']}}\n": "0.0.0.0"}
    for section, expected in http.items():
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            Path(folder, "edged.yaml").write_text(cameras + section)
            with running(
                image, options=(*options, f"--volume={folder}:/etc/edged:ro")
            ) as container:
                container.wait_for(lambda c=container: bool(listening(c)), "a port")  # type: ignore[misc]
                shown = {"0100007F": "127.0.0.1", "00000000": "0.0.0.0"}
                addresses = {shown.get(each, each) for each in listening(container)}
                told = "--network host" in container.log()
                assert addresses == {expected} and told == (not section), container.log()
                seen = f"listens on {expected}{', and says how to open it' if told else ''}"
                if section:
                    settings = inspect("container", container.name)["NetworkSettings"]
                    (network,) = settings["Networks"].values()
                    url = f"http://{network['IPAddress']}:9640/healthz"
                    answers = [answer(url), answer(url, token), container.health()[0]]
                    assert answers == [401, 200, 0], answers
                    seen += "; from outside 401 without and 200 with the token, health check 0"
                say("with a token" if section else "without a login", seen)


def answer(url: str, token: str = "") -> int:
    request = urllib.request.Request(url)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answered:
            return int(answered.status)
    except urllib.error.HTTPError as error:
        return error.code


if __name__ == "__main__":
    sys.exit(main())
