"""Names of views. A view is a region of a camera with a question of its own.

The id of a view is `camera/view`, or `camera` where the camera has no views of its own and so is
its own only view.
"""

from __future__ import annotations

from collections.abc import Mapping


def parts(view: str) -> tuple[str, str | None]:
    """Names of the camera and of the view; None where the camera has no views of its own."""
    camera, _, name = view.partition("/")
    return camera, name or None


def camera_of(view: str) -> str:
    return parts(view)[0]


def fields(view: str) -> dict[str, str]:
    """`camera` and, where the camera has views of its own, `view`: as JSON and metrics name it."""
    camera, name = parts(view)
    return {"camera": camera} if name is None else {"camera": camera, "view": name}


def id_of(named: Mapping[str, str]) -> str:
    """The reverse of `fields`; further keys do not matter."""
    return "/".join(named[key] for key in ("camera", "view") if key in named)


def titled(view: str) -> str:
    """`camera door`, or `view yard/gate`: for messages."""
    return f"camera {view}" if parts(view)[1] is None else f"view {view}"
