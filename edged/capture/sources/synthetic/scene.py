"""A synthetic scene that a classifier of photographs recognizes: a golf ball rolls over grass, then
a parachute hangs in the sky. Background and sprites are drawn once; a frame is a copy and a paste.

Pictures are uint8 (height, width, 3), RGB. Angles are in radians, lengths in pixels.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float32]

TURN_SECONDS: Final = 5.0
"""How long each of the two subjects is shown."""
_DIMPLES = 336
_BALL_SIDE = 176
_BALL_REACH = 1.25
"""Half the side of the ball's sprite, in radii of the ball, with room for its shadow."""
_ROLL = 0.14
"""How far the ball rolls to either side, in short sides of the picture."""
_PHASES = 4
"""Sprites of the rolling ball to either side of the middle."""
_GORES = 12


class Sprite:
    """A subject with soft edges. colour: uint8 (h, w, 3); alpha: float32 (h, w), 0 to 1."""

    def __init__(self, colour: Plane, alpha: Plane, side: int) -> None:
        size = (side, side)
        alpha3 = np.repeat(alpha[..., None], 3, axis=2)
        shrunk = cv2.resize(colour * alpha3, size, interpolation=cv2.INTER_AREA)
        self._light = _bytes(shrunk)
        self._rest = _bytes(255 * (1 - cv2.resize(alpha3, size, interpolation=cv2.INTER_AREA)))

    def paste(self, canvas: Pixels, left: int, top: int) -> None:
        """Clips to the canvas."""
        height, width, _ = canvas.shape
        side = len(self._light)
        x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + side), min(height, top + side)
        if x0 >= x1 or y0 >= y1:
            return
        own = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        there = canvas[y0:y1, x0:x1]
        below = cv2.multiply(there, self._rest[own], scale=1 / 255)
        canvas[y0:y1, x0:x1] = cv2.add(below, self._light[own])


class Scene:
    """draw(seconds) returns the picture at that time; the next call reuses the array."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._short = min(width, height)
        noise = np.random.default_rng(7)
        self._grass = grass(width, height, noise)
        self._sky = sky(width, height, noise)
        self._canvas = np.empty_like(self._grass)
        self._ball_side = round(0.66 * self._short)
        roll = _ROLL * 2 * _BALL_REACH / 0.66  # without slip: distance / radius
        blades = noise.random((_BALL_SIDE, _BALL_SIDE), np.float32)
        self._ball = [
            Sprite(*golf_ball(roll * phase / _PHASES, blades), self._ball_side)
            for phase in range(-_PHASES, _PHASES + 1)
        ]
        self._parachute_side = round(0.8 * self._short)
        self._parachute = Sprite(*parachute(), self._parachute_side)

    def draw(self, seconds: float) -> Pixels:
        turn, within = divmod(seconds, TURN_SECONDS)
        sway = math.sin(2 * math.pi * within / TURN_SECONDS)
        if int(turn) % 2 == 0:
            np.copyto(self._canvas, self._grass)
            ball = self._ball[round(_PHASES * sway) + _PHASES]
            self._paste(ball, self._ball_side, _ROLL * sway, 0.06)
        else:
            np.copyto(self._canvas, self._sky)
            sink = -0.07 + 0.03 * math.cos(2 * math.pi * within / TURN_SECONDS)
            self._paste(self._parachute, self._parachute_side, 0.06 * sway, sink)
        return self._canvas

    def _paste(self, sprite: Sprite, side: int, right: float, down: float) -> None:
        """Offsets from the centre, in short sides."""
        left = round((self._width - side) / 2 + right * self._short)
        top = round((self._height - side) / 2 + down * self._short)
        sprite.paste(self._canvas, left, top)


def clouds_of_noise(
    width: int, height: int, noise: np.random.Generator, octaves: int, smallest: int
) -> Plane:
    """Noise with structure at several scales, float32 (height, width), 0 to 1."""
    total: Plane = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cell = smallest * 2**octave
        shape = (height // cell + 3, width // cell + 3)
        grid = noise.random(shape, np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * 2**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def grass(width: int, height: int, noise: np.random.Generator) -> Pixels:
    """A lawn seen from low above: blades get longer and coarser towards the viewer."""
    far = noise.random((height, width), np.float32)
    blades = np.zeros_like(far)
    for index, length in enumerate((3, 7, 13)):
        streaks = cv2.GaussianBlur(far, (0, 0), sigmaX=0.6 + 0.5 * index, sigmaY=length / 2)
        streaks = (streaks - streaks.mean()) / (streaks.std() + 1e-6)
        nearness = np.linspace(0, 2, height, dtype=np.float32)[:, None]
        blades += streaks * np.clip(1 - np.abs(nearness - index), 0, 1)
    patches = clouds_of_noise(width, height, noise, 3, max(4, min(width, height) // 24))
    light = np.clip(0.5 + 0.2 * blades + 0.3 * (patches - 0.5), 0, 1)[..., None]
    dark, bright = _triple(28, 62, 14), _triple(150, 190, 84)
    return _bytes(dark + (bright - dark) * light)


def sky(width: int, height: int, noise: np.random.Generator) -> Pixels:
    """Blue, paler towards the horizon, with soft clouds."""
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    blue = _triple(58, 118, 196) * (1 - depth) + _triple(164, 198, 232) * depth
    cover = clouds_of_noise(width, height, noise, 5, max(4, min(width, height) // 40))
    cover = np.clip((cover - 0.6) * 2.2, 0, 0.85)[..., None]
    return _bytes(blue * (1 - cover) + _triple(240, 243, 246) * cover)


def golf_ball(turned: float, blades: Plane) -> tuple[Plane, Plane]:
    """(colour, alpha): a white sphere with dimples, rotated by `turned`, and its shadow.

    blades: noise, float32 (side, side), for the grass in front of the ball.
    """
    side = len(blades)
    line = np.linspace(-_BALL_REACH, _BALL_REACH, side, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    inside = x * x + y * y < 1
    normal = np.stack([x, y, np.sqrt(np.clip(1 - x * x - y * y, 0, 1))], axis=-1)
    normal[inside] = _dimpled(normal[inside], turned)
    sun = _triple(-0.45, -0.70, 0.55)
    diffuse = np.clip(normal @ sun, 0, 1)
    gloss = np.clip(normal @ _triple(-0.30, -0.46, 0.84), 0, 1) ** 40
    light = (0.42 + 0.62 * diffuse + 0.25 * gloss)[..., None]
    colour = _triple(246, 246, 240) * light
    from_grass = np.clip(y, 0, 1)[..., None] * 0.35
    colour = colour * (1 - from_grass) + _triple(120, 150, 84) * light * from_grass

    ball = np.clip((1 - np.sqrt(x * x + y * y)) * side / 5 + 0.5, 0, 1)
    streaks = cv2.GaussianBlur(blades, (0, 0), 1.0, sigmaY=7)
    streaks = (streaks - streaks.mean()) / streaks.std()
    ball *= np.clip((0.86 + 0.06 * streaks - y) * 30, 0, 1)  # grass covers its foot
    shadow = 0.55 * np.exp(-(((x - 0.25) / 0.95) ** 2 + ((y - 0.88) / 0.20) ** 2))
    alpha = np.asarray(ball + shadow * (1 - ball), np.float32)
    colour = np.asarray(colour * (ball / np.maximum(alpha, 1e-6))[..., None], np.float32)
    return colour, alpha


def _dimpled(normal: Plane, turned: float) -> Plane:
    """Tilt unit normals (n, 3) towards the nearest dimple; dimples lie on a spiral."""
    index = np.arange(_DIMPLES) + 0.5
    height = 1 - 2 * index / _DIMPLES
    angle = index * math.pi * (3 - math.sqrt(5))
    radius = np.sqrt(1 - height * height)
    centre = np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=-1)
    cos, sin = math.cos(turned), math.sin(turned)
    lean = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])  # hides the spiral's pole
    roll = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    centre = (centre @ lean.T @ roll.T).astype(np.float32)
    centre = centre[centre[:, 2] > -0.15]
    cosine = normal @ centre.T
    nearest = cosine.argmax(axis=1)
    distance = np.arccos(np.clip(cosine[np.arange(len(normal)), nearest], -1, 1))
    reach = 0.9 * math.sqrt(4 / _DIMPLES)  # the radius of a dimple's share of the sphere is 1
    depth = np.where(distance < reach, np.sin(math.pi * distance / reach), 0)[:, None]
    tilted = normal + 0.55 * depth * (centre[nearest] - normal) / reach
    unit: Plane = tilted / np.linalg.norm(tilted, axis=1, keepdims=True)
    return unit


def parachute() -> tuple[Plane, Plane]:
    """(colour, alpha): a round canopy of coloured gores, cords, and somebody hanging below."""
    side = 640
    picture = np.zeros((side, side, 4), np.uint8)
    centre, top, radius, drop = 0.50 * side, 0.16 * side, 0.36 * side, 0.24 * side
    colours = ((214, 160, 30), (196, 36, 40))
    edges = [math.pi * (index / _GORES - 0.5) for index in range(_GORES + 1)]
    harness = (centre, 0.84 * side)
    for index, (left, right) in enumerate(pairwise(edges)):
        outline = [_on_canopy(left, t) for t in np.linspace(0, 1, 24)]
        hem = [(t, 1 - 0.04 * math.sin(math.pi * t)) for t in (0.25, 0.5, 0.75)]
        outline += [_on_canopy(left + (right - left) * t, sag) for t, sag in hem]
        outline += [_on_canopy(right, t) for t in np.linspace(1, 0, 24)]
        points = [(centre + radius * x, top + drop * y) for x, y in outline]
        light = 0.70 + 0.30 * math.cos((left + right) / 2 + 0.6)
        colour = tuple(light * value for value in colours[index % len(colours)])
        cv2.fillPoly(picture, [np.array(points, np.int32)], (*colour, 255))
        for rim in (points[23], points[-24]):
            cv2.line(picture, _pixel(rim), _pixel(harness), (84, 80, 76, 255), 2)
    suit = (40, 42, 52, 255)
    cv2.line(picture, _pixel(harness), _pixel((centre, 0.92 * side)), suit, 18)
    for leg in (-0.02, 0.02):
        hip, foot = (centre, 0.91 * side), (centre + leg * side, 0.985 * side)
        cv2.line(picture, _pixel(hip), _pixel(foot), suit, 9)
    cv2.circle(picture, _pixel((centre, 0.825 * side)), 11, (176, 140, 116, 255), -1)
    alpha: Plane = picture[..., 3].astype(np.float32) / np.float32(255)
    return picture[..., :3].astype(np.float32), alpha


def _on_canopy(angle: float, t: float) -> tuple[float, float]:
    """A point on a half dome seen from the side; t: 0 at its top, 1 at its rim."""
    return math.sin(angle) * math.sin(t * math.pi / 2), 1 - math.cos(t * math.pi / 2)


def _pixel(point: tuple[float, float]) -> tuple[int, int]:
    return round(point[0]), round(point[1])


def _triple(red_or_x: float, green_or_y: float, blue_or_z: float) -> Plane:
    return np.array((red_or_x, green_or_y, blue_or_z), np.float32)


def _bytes(values: Plane) -> Pixels:
    pixels: Pixels = np.clip(values, 0, 255).astype(np.uint8)
    return pixels
