"""Pictures of nothing in particular, from which every head learns the class `none`.

Drawn by code, so that none has to be shipped: a network's features of them lie where its features
of any photo may lie. tests/benchmarks/teach.md has what they are worth beside photos.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

PICTURES = 120
SIDE = 224

_Picture = NDArray[np.float32]
"""(SIDE, SIDE, 3), from 0 to 1, not yet bounded."""
_Random = np.random.Generator


def none_picture(number: int) -> NDArray[np.uint8]:
    """Picture `number`, from 0 to PICTURES - 1: RGB (SIDE, SIDE, 3)."""
    random = np.random.default_rng(1000 + number)
    drawn = _KINDS[number % len(_KINDS)](random)
    return _photographed(random, drawn)


def _clouds(random: _Random, roughness: float | None = None) -> _Picture:
    """Noise whose amplitude falls with frequency as in photos."""
    steep = random.uniform(0.8, 2.2) if roughness is None else roughness
    rows, columns = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]
    stretch = np.exp(random.normal(0, 0.4))
    frequency = np.hypot(rows * stretch, columns / stretch)
    frequency[0, 0] = 1
    spectrum = random.normal(size=(3, *frequency.shape)) + 1j * random.normal(
        size=(3, *frequency.shape)
    )
    planes = np.fft.irfft2(spectrum / frequency**steep, s=(SIDE, SIDE))
    planes -= planes.mean(axis=(1, 2), keepdims=True)
    planes /= planes.std(axis=(1, 2), keepdims=True) + 1e-9
    mixing = random.normal(0, 0.25, (3, 3)) + np.array([[1, 0, 0]] * 3)
    mixed = np.tensordot(mixing, planes, 1)
    level = random.uniform(0.25, 0.7, (3, 1, 1)) * 0.3 + random.uniform(0.2, 0.6)
    picture = level + mixed * random.uniform(0.08, 0.22)
    return np.ascontiguousarray(picture.transpose(1, 2, 0), np.float32)


def _colour(random: _Random) -> NDArray[np.float32]:
    """Mostly muted, as surfaces are."""
    grey = random.uniform(0.05, 0.95)
    tint = random.normal(0, 0.12 if random.random() < 0.7 else 0.4, 3)
    return np.clip(grey + tint, 0, 1).astype(np.float32)


def _gradient(random: _Random) -> _Picture:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    if random.random() < 0.5:
        angle = random.uniform(0, 2 * np.pi)
        along = np.cos(angle) * columns + np.sin(angle) * rows
    else:
        along = np.hypot(rows - random.uniform(), columns - random.uniform())
    along = (along - along.min()) / np.ptp(along)
    stops = np.sort(random.uniform(0, 1, 4))
    stops[0], stops[-1] = 0, 1
    colours = np.stack([_colour(random) for _ in stops])
    planes = [np.interp(along, stops, colours[:, channel]) for channel in range(3)]
    return np.stack(planes, axis=-1).astype(np.float32)


def _surface(random: _Random) -> _Picture:
    """What fills a shape: a colour, a gradient, a texture or stripes."""
    kind = random.random()
    if kind < 0.35:
        picture = np.empty((SIDE, SIDE, 3), np.float32)
        picture[:] = _colour(random)
        return picture
    if kind < 0.6:
        return _gradient(random)
    if kind < 0.85:
        return _clouds(random)
    return _stripes(random)


def _stripes(random: _Random) -> _Picture:
    """Bars, checks or waves."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    bend = (
        cv2.resize(random.normal(0, 1, (4, 4)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    ) * (random.uniform(0, 0.1))
    angle, period = random.uniform(0, np.pi), np.exp(random.uniform(np.log(2), np.log(30)))
    along = np.cos(angle) * columns + np.sin(angle) * rows + bend
    wave = np.sin(2 * np.pi * period * along)
    if random.random() < 0.4:
        across = -np.sin(angle) * columns + np.cos(angle) * rows + bend
        wave = wave * np.sin(2 * np.pi * period * across)
    sharp = np.exp(random.uniform(0, 3))
    share = (1 + np.tanh(wave * sharp)) / 2
    first, second = _colour(random), _colour(random)
    return (first + share[..., None] * (second - first)).astype(np.float32)


def _outline(random: _Random, size: float) -> NDArray[np.int32]:
    """A shape's corners: round, angular or ragged."""
    count = int(random.integers(3, 9)) if random.random() < 0.5 else 48
    angles = (
        np.sort(random.uniform(0, 2 * np.pi, count))
        if count < 10
        else np.linspace(0, 2 * np.pi, count, endpoint=False)
    )
    radius = np.ones(count)
    for order in range(2, 6):
        radius += random.normal(0, 0.25 / order) * np.cos(order * angles + random.uniform(0, 6))
    stretch, turn = np.exp(random.normal(0, 0.5)), random.uniform(0, np.pi)
    x, y = radius * np.cos(angles) * stretch, radius * np.sin(angles) / stretch
    x, y = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    centre = random.uniform(-0.1, 1.1, 2) * SIDE
    return np.rint(np.stack([x, y], axis=1) * size + centre).astype(np.int32)


def _paint(random: _Random, picture: _Picture, outline: NDArray[np.int32], soft: float) -> None:
    """Fill the shape with a surface that is shaded from one side; in place."""
    mask = np.zeros((SIDE, SIDE), np.float32)
    cv2.fillPoly(mask, [outline], 1.0, cv2.LINE_AA)
    if soft > 0.3:
        mask = cv2.GaussianBlur(mask, (0, 0), soft)
    surface = _surface(random)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    centre, extent = outline.mean(axis=0), np.ptp(outline, axis=0).max() + 1
    angle = random.uniform(0, 2 * np.pi)
    along = ((columns - centre[0]) * np.cos(angle) + (rows - centre[1]) * np.sin(angle)) / extent
    surface = surface * (1 + random.uniform(0, 0.9) * along[..., None])
    picture += mask[..., None] * (surface - picture)


def _leaves(random: _Random) -> _Picture:
    """Shapes over shapes, many small and few large ones: the statistics of cluttered scenes."""
    picture = _surface(random)
    smallest = random.uniform(4, 25)
    for _ in range(int(random.integers(20, 90))):
        size = min(90.0, smallest * random.uniform(0.02, 1) ** -0.5)
        _paint(random, picture, _outline(random, size), random.choice([0, 0, 1, 3]))
    return picture


def _thing(random: _Random) -> _Picture:
    """One object of a few parts before a background out of focus."""
    background = _leaves(random) if random.random() < 0.5 else _surface(random)
    picture = cv2.GaussianBlur(background, (0, 0), random.uniform(2, 12))
    size = random.uniform(30, 80)
    place = random.uniform(0.3, 0.7, 2) * SIDE
    for part in range(int(random.integers(1, 9))):
        outline = _outline(random, size if part == 0 else size * random.uniform(0.1, 0.6))
        spread = 0 if part == 0 else random.normal(0, size * 0.5, 2)
        outline = (outline - outline.mean(axis=0) + place + spread).astype(np.int32)
        _paint(random, picture, outline, random.choice([0, 0.5, 1]))
    return picture


def _horizon(random: _Random) -> _Picture:
    """Sky above, ground below, things upon it."""
    sky = _gradient(random) if random.random() < 0.6 else _clouds(random, random.uniform(1.4, 2.2))
    picture = sky
    line = int(random.uniform(0.25, 0.8) * SIDE)
    ground = (
        _clouds(random, random.uniform(0.6, 1.4)) if random.random() < 0.7 else _stripes(random)
    )
    corners = np.array([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]], np.float32)
    reach = random.uniform(0, 2) * SIDE
    far = np.array([[0, line], [SIDE, line], [SIDE + reach, SIDE], [-reach, SIDE]], np.float32)
    flat = cv2.warpPerspective(ground, cv2.getPerspectiveTransform(corners, far), (SIDE, SIDE))
    picture[line:] = flat[line:]
    for _ in range(int(random.integers(0, 14))):
        depth = random.uniform(0.1, 1)
        outline = _outline(random, 45 * depth)
        base = np.array([random.uniform(0, SIDE), line + depth * random.uniform(0, SIDE - line)])
        outline = outline - outline.mean(axis=0) + base - (0, 30 * depth)
        _paint(random, picture, outline.astype(np.int32), random.choice([0, 0.5, 1]))
    return picture


def _room(random: _Random) -> _Picture:
    """Walls, floor and ceiling, with boxes."""
    picture = np.zeros((SIDE, SIDE, 3), np.float32)
    left, right = np.sort(random.uniform(0.1, 0.9, 2)) * SIDE
    top, bottom = np.sort(random.uniform(0.1, 0.9, 2)) * SIDE
    inner = [(left, top), (right, top), (right, bottom), (left, bottom)]
    outer = [(0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE)]
    faces = [inner] + [[outer[i], outer[i - 3], inner[i - 3], inner[i]] for i in range(4)]
    for face in faces:
        _paint(random, picture, np.array(face).astype(np.int32), 0)
    for _ in range(int(random.integers(1, 12))):
        x, y = random.uniform(0, SIDE, 2)
        width, height = random.uniform(8, 90, 2)
        skew = random.normal(0, 8)
        box = [(x, y), (x + width, y + skew), (x + width, y + height + skew), (x, y + height)]
        _paint(random, picture, np.array(box).astype(np.int32), random.choice([0, 0.5]))
    return picture


def _lines(random: _Random) -> _Picture:
    """Wires, branches, letters."""
    picture = _surface(random)
    for _ in range(int(random.integers(5, 60))):
        colour, width = _colour(random).tolist(), int(random.integers(1, 7))
        start = random.uniform(0, SIDE, 2)
        steps = np.cumsum(random.normal(0, 14, (12, 2)) + random.normal(0, 14, 2), axis=0)
        path = np.rint(start + steps).astype(np.int32)
        cv2.polylines(picture, [path], bool(random.random() < 0.2), colour, width, cv2.LINE_AA)
    for _ in range(int(random.integers(0, 8))):
        letters = "".join(chr(each) for each in random.integers(48, 123, random.integers(1, 9)))
        place = random.uniform(0, SIDE * 0.9, 2).astype(int).tolist()
        size, width = random.uniform(0.4, 3), int(random.integers(1, 6))
        mask = np.zeros((SIDE, SIDE), np.uint8)
        cv2.putText(mask, letters, place, int(random.integers(0, 7)), size, 255, width)
        picture += (mask[..., None] / np.float32(255)) * (_colour(random) - picture)
    return picture


def _woven(random: _Random) -> _Picture:
    """Noise through a few random layers, from coarse to fine."""
    channels = 8
    planes = random.normal(size=(channels, 7, 7)).astype(np.float32)
    for side in (14, 28, 56, 112, SIDE):
        planes = np.stack(
            [cv2.resize(each, (side, side), interpolation=cv2.INTER_LINEAR) for each in planes]
        )
        kernels = random.normal(0, 1, (channels, 3, 3)).astype(np.float32)
        planes = np.stack(
            [cv2.filter2D(each, -1, kernel) for each, kernel in zip(planes, kernels, strict=True)]
        )
        planes = np.tensordot(random.normal(size=(channels, channels)), planes, 1)
        planes -= planes.mean(axis=(1, 2), keepdims=True)
        planes = np.maximum(planes / (planes.std(axis=(1, 2), keepdims=True) + 1e-6), -0.2)
        planes = planes.astype(np.float32)
    mixed = np.tensordot(
        random.normal(0, 0.12, (3, channels)) + random.normal(0, 0.1, channels), planes, 1
    )
    return np.ascontiguousarray(
        (mixed + random.uniform(0.2, 0.7, (3, 1, 1))).transpose(1, 2, 0), np.float32
    )


def _collage(random: _Random) -> _Picture:
    """Other pictures in tiles."""
    picture = np.zeros((SIDE, SIDE, 3), np.float32)
    across, down = random.integers(1, 4), random.integers(2, 4)
    width, height = -(-SIDE // across), -(-SIDE // down)
    for row in range(0, SIDE, height):
        for column in range(0, SIDE, width):
            kind = _KINDS[int(random.integers(len(_KINDS) - 1))]
            part = picture[row : row + height, column : column + width]
            part[:] = cv2.resize(kind(random), part.shape[1::-1], interpolation=cv2.INTER_AREA)
    return picture


def _photographed(random: _Random, picture: Any) -> NDArray[np.uint8]:
    """Light, lens and sensor."""
    if random.random() < 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.4, 2.0))
    picture = picture + (picture.mean() - picture) * random.uniform(-0.3, 0.4)
    picture = picture * random.uniform(0.8, 1.25) * random.uniform(0.88, 1.12, 3)
    picture = picture + random.normal(0, random.uniform(0, 0.03), picture.shape)
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)


_KINDS: tuple[Callable[[_Random], _Picture], ...] = (
    _leaves,
    _thing,
    _horizon,
    _clouds,
    _room,
    _thing,
    _woven,
    _lines,
    _horizon,
    _leaves,
    _gradient,
    _stripes,
    _collage,
)
