"""Headless Chromium, driven through its DevTools protocol."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import websocket
from PIL import Image

from tests.rig.waiting import eventually

CHROMIUM = shutil.which("chromium")
CARD = "document.querySelector('[data-camera=door]')"
CAMERAS = "door: {source: 'synthetic:320x240@20'}"
# Before the page's own handlers. missed stays null where an element is disabled.
WATCH = """(() => {
  const it = ELEMENT;
  const watch = (event) => {
    window.missed = !it.contains(event.target);
    if (!window.missed) return;
    event.stopImmediatePropagation();
    event.preventDefault();
  };
  window.missed = null;
  window.watched?.abort();
  window.watched = new AbortController();
  for (const kind of ["pointerdown", "pointerup", "click"]) {
    window.addEventListener(kind, watch, { capture: true, signal: window.watched.signal });
  }
})()"""


class Browser:
    """One tab. trouble: errors on its console."""

    def __init__(self) -> None:
        assert CHROMIUM is not None
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        command = [
            *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-dev-shm-usage", "--disable-background-networking", "--hide-scrollbars"),
            *("--remote-debugging-port=0", "--remote-allow-origins=*", "about:blank"),
        ]
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={self._profile.name}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.trouble: list[str] = []
        self._number = 0
        self._socket = websocket.create_connection(self._tab(self._port()), timeout=60)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _port(self) -> int:
        """Chromium says where it listens, then goes on talking, which somebody must read."""
        errors = self._process.stderr
        assert errors is not None
        for line in errors:
            if match := re.search(r"DevTools listening on ws://[^:]+:(\d+)/", line):
                self._reader = threading.Thread(target=errors.read)
                self._reader.start()
                return int(match[1])
        raise AssertionError("Chromium does not start")

    def _tab(self, port: int) -> str:
        while True:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=60) as answer:
                for each in json.load(answer):
                    if each["type"] == "page":
                        return str(each["webSocketDebuggerUrl"])
            time.sleep(0.05)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(30)
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._profile.cleanup()

    def forget(self) -> None:
        """What was shown, how large, and what was wrong with it."""
        self.open("about:blank")
        self.call("Emulation.clearDeviceMetricsOverride")
        self.wait_for("location.href == 'about:blank'")
        self.trouble.clear()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._note(answer.get("method"), answer.get("params", {}))

    def _note(self, event: str | None, parameters: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.trouble.append(json.dumps(parameters["exceptionDetails"]))
        elif event == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.trouble.append(json.dumps(parameters["entry"]))
        elif event == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            self.trouble.append(json.dumps(parameters["args"]))

    def size(self, width: int, height: int, scale: float, *, dark: bool = False) -> None:
        """In CSS pixels; up to 600 of width is a phone."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width <= 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """Of JavaScript in the page; what it promises is waited for."""
        done = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 60) -> Any:
        return eventually(lambda: self.value(expression), seconds, expression)

    def place(self, element: str) -> dict[str, float]:
        """The middle of what the JavaScript `element` names, once it is in sight."""
        return dict(
            self.value(
                f"(() => {{ const it = {element}; it.scrollIntoView({{block: 'center'}});"
                "const { left, top, width, height } = it.getBoundingClientRect();"
                "return { x: left + width / 2, y: top + height / 2 } })()"
            )
        )

    def press(self, element: str) -> None:
        """With the left button."""
        self._hit(element, "mousePressed")

    def release(self, element: str) -> None:
        self._mouse("mouseReleased", self.place(element))

    def click(self, element: str) -> None:
        self._hit(element, "mousePressed", "mouseReleased")

    def _hit(self, element: str, *kinds: str) -> None:
        """Again where the element moved meanwhile, as below a picture that has just come.

        What lies there instead hears nothing of it.
        """
        for _ in range(20):
            self.value(WATCH.replace("ELEMENT", element))
            place = self.place(element)
            for kind in kinds:
                self._mouse(kind, place)
            missed = self.value("window.missed")
            if missed:
                self._mouse("mouseReleased", place)
            self.value("window.watched?.abort()")
            if not missed:
                return
        raise AssertionError(f"{element}: something else lies where it is clicked")

    def _mouse(self, kind: str, place: dict[str, float]) -> None:
        pressed = int(kind == "mousePressed")
        self.call(
            "Input.dispatchMouseEvent",
            **{"type": kind, "button": "left", "clickCount": 1, "buttons": pressed, **place},
        )

    def key(self, kind: str, key: str) -> None:
        """kind: `rawKeyDown` or `keyUp`."""
        code = {"Enter": 13, " ": 32, "Tab": 9, "Escape": 27}[key]
        self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)
        if kind == "rawKeyDown" and key == "Enter":
            self.call("Input.dispatchKeyEvent", type="char", key=key, text="\r")

    def stroke(self, key: str) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self.key(kind, key)

    def write(self, element: str, text: str) -> None:
        self.click(element)
        self.call("Input.insertText", text=text)

    def choose(self, element: str, *files: Path) -> None:
        """Files of an input."""
        found = self.call("Runtime.evaluate", expression=element)["result"]["objectId"]
        self.call("DOM.setFileInputFiles", objectId=found, files=[str(each) for each in files])

    def screenshot(self) -> bytes:
        """A PNG of what is in sight."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


def save(png: bytes, path: Path) -> None:
    """As its name says: a WebP is a third of a PNG's bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(path, quality=85, method=6)


def page_config(
    port: int = 0, variants: str = "mobilenet_v1_0.25_128", cameras: str = CAMERAS
) -> str:
    return (
        "latency_budget_ms: 200\n"
        f"http: {{listen: 127.0.0.1:{port}}}\nresults: {{jsonl: none}}\n"
        f"variants: [{variants}]\ncameras: {{{cameras}}}\n"
    )
