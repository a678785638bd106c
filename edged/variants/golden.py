"""The golden picture: a check, at every load, that networks get their input in the right form.

With red and blue swapped a network still gives scores, only worse ones. So each family has one
synthetic picture with its expected scores. It is chosen so that swapping red and blue moves the
scores of every network at every resolution by SENSITIVITY times the tolerance, as do mirroring and
flipping at every resolution (in at least one network: preprocessing is the same for all, but a
single file may expect BGR).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.errors import EdgedError, InputError
from edged.variants.family import Family, InputContract
from edged.variants.network import Network
from edged.variants.preprocess import Preprocessor
from edged.variants.runtime import Backend, Runner
from edged.variants.variant import Precision, Variant

Picture = NDArray[np.uint8]
Golden = tuple[tuple[int, float], ...]

TOLERANCE: Mapping[Precision, float] = {Precision.FLOAT: 0.05, Precision.INT8: 0.1}
"""Allowed deviation of a score. Changing each pixel by up to one grey level moves float scores of
the official networks by up to 0.03; integer kernels and the same INT8 network computed in
floating point differ by up to 0.1. The integer kernels of ONNX Runtime agree to
1e-6 between x86-64 and emulated ARM64, with dot-product instructions and without; one that
saturates (x86-64 without VNNI, unless told to be exact) is off by 0.23 and rightly refused."""
SENSITIVITY = 2.0
LEAST_PROOF = 0.1
"""A network whose scores move less gets a proportionally smaller tolerance, down to this part of
the usual one; below that the picture proves nothing."""

_TOP = 5
_SEEDS = 20
_CHANGES = 150
_HEIGHT, _WIDTH = 256, 320  # oblong, so that the fit is proved too
_SHAPES = 14
_GRAIN = 30  # grey levels; without grain, scores hang on the rounding of large even areas

_COLOURS = "swapping red and blue"
_TURNS: Mapping[str, Callable[[Picture], Picture]] = {
    _COLOURS: lambda picture: picture[:, :, ::-1],
    "mirroring": lambda picture: picture[:, ::-1],
    "flipping": lambda picture: picture[::-1],
}


def golden_picture(seed: int) -> Picture:
    """A synthetic picture, uint8 (256, 320, 3) RGB: grainy coloured shapes."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    picture: Picture = cv2.resize(corners, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_LINEAR)
    for _ in range(_SHAPES):
        _draw_shape(picture, random)
    return _grainy(picture, random)


def _grainy(picture: Picture, random: np.random.Generator) -> Picture:
    dots = random.integers(0, 2, (_HEIGHT // 2, _WIDTH // 2, 1)).repeat(2, axis=0).repeat(2, axis=1)
    grainy: Picture = np.clip(picture + (2 * dots - 1) * _GRAIN, 0, 255).astype(np.uint8)
    return grainy


def _with_shape(picture: Picture, random: np.random.Generator) -> Picture:
    """The picture with one more grainy shape in front."""
    drawn = picture.copy()
    _draw_shape(drawn, random)
    is_new = (drawn != picture).any(axis=2, keepdims=True)
    return np.where(is_new, _grainy(drawn, random), picture)


def _draw_shape(picture: Picture, random: np.random.Generator) -> None:
    colour = random.integers(0, 256, 3).tolist()
    x, y = random.integers(0, (_WIDTH, _HEIGHT)).tolist()
    width, height = random.integers(6, 80, 2).tolist()
    turn = int(random.integers(0, 180))
    if random.random() < 0.5:
        cv2.ellipse(picture, (x, y), (width, height), turn, 0, 360, colour, cv2.FILLED)
    else:
        corners = cv2.boxPoints(((x, y), (2 * width, 2 * height), turn))
        cv2.fillConvexPoly(picture, corners.astype(np.int32), colour)


def golden_scores(
    runner: Runner, resolutions: Iterable[int], contract: InputContract, picture: Picture
) -> dict[int, Golden]:
    """The five best classes of the picture at each resolution, best first, with their scores."""
    return {
        resolution: _best(runner.run(Preprocessor(contract, resolution)(picture)))
        for resolution in resolutions
    }


def with_golden(
    family: Family, models: Mapping[str, bytes], backend: Backend
) -> tuple[Family, bytes]:
    """The family with golden scores for every network, and its golden picture as a PNG.

    models: content of networks that are not on disk yet, by file name, as for `write_family`.
    The family's present picture is kept if it suits every network; otherwise a new one is
    chosen. Raises InputError with the network that no picture suits.
    """
    runners = [
        (network, backend.load(network, models.get(network.path.name) or network.read(), 1))
        for network in family.networks
    ]
    present = family.golden_picture() if family.golden is not None else None
    picture, tolerance = choose_golden(runners, family.input, present)
    networks = tuple(
        replace(
            network,
            golden=golden_scores(runner, network.resolutions, family.input, picture),
            tolerance={
                variant.resolution: tolerance[variant]
                for variant in network.variants()
                if tolerance[variant] != TOLERANCE[network.precision]
            },
        )
        for network, runner in runners
    )
    done, png = cv2.imencode(".png", picture[:, :, ::-1])
    if not done:
        raise EdgedError("cannot encode the golden picture as PNG")
    return replace(family, networks=networks), png.tobytes()


def choose_golden(
    runners: Sequence[tuple[Network, Runner]],
    contract: InputContract,
    present: Picture | None = None,
) -> tuple[Picture, dict[Variant, float]]:
    """A picture that proves all networks, and the tolerance of each variant under it.

    Tries the present picture, then drawn ones, then shapes added to the best of those, until the
    usual tolerances are proved or nothing better is found. Raises InputError when the best one
    proves less than LEAST_PROOF.
    """
    groups = _groups(runners, contract)
    chosen, proof = present, None if present is None else _weakest(groups, present, -1)
    random = np.random.default_rng(_SEEDS)
    for attempt in range(_SEEDS + _CHANGES):
        if proof is not None and proof.share >= 1:
            break
        if chosen is None or attempt < _SEEDS:
            picture = golden_picture(attempt)
        else:
            picture = _with_shape(chosen, random)
        found = _weakest(groups, picture, -1 if proof is None else proof.share)
        if proof is None or found.share > proof.share:
            chosen, proof = picture, found
    assert chosen is not None and proof is not None
    if not proof.share >= LEAST_PROOF:
        tolerance = TOLERANCE[proof.cell.network.precision]
        raise InputError(
            f"no golden picture can check the input of {proof.cell.variant}: "
            f"{proof.turn} moves no score by more than {proof.share * SENSITIVITY * tolerance:.4f}",
            where=proof.cell.network.path,
            fix="check its weights, or train it further",
        )
    return chosen, {
        variant: tolerance
        for group in groups
        for variant, tolerance in group.tolerances(chosen).items()
    }


@dataclass(frozen=True, slots=True)
class _Cell:
    """A network at one of its resolutions."""

    network: Network
    runner: Runner
    variant: Variant

    def shares(self, images: Mapping[str, Picture]) -> dict[str, float]:
        """How far each turn moves the scores, in units of what the usual tolerance needs."""
        scores = self.runner.run(images[""])
        if not np.isfinite(scores).all():
            raise InputError(
                f"{self.variant} returns scores that are not finite",
                where=self.network.path,
            )
        golden = _best(scores)
        needed = TOLERANCE[self.network.precision] * SENSITIVITY
        return {turn: _distance(self.runner.run(images[turn]), golden) / needed for turn in _TURNS}


class _Proof(NamedTuple):
    """share: 1 is enough for the usual tolerance."""

    share: float
    cell: _Cell
    turn: str


@dataclass(slots=True)
class _Group:
    """All networks at one resolution. The cell that refused the last picture is asked first, as
    most pictures fail where the one before did; so are the groups themselves."""

    preprocess: Preprocessor
    cells: list[_Cell]

    def weakest(self, picture: Picture, beyond: float) -> _Proof:
        """What proves least; stops at the first that proves no more than `beyond`."""
        images = self._images(picture)
        proofs: list[_Proof] = []
        shares: list[tuple[_Cell, dict[str, float]]] = []
        for cell in tuple(self.cells):
            shares.append((cell, cell.shares(images)))
            proofs.append(_Proof(shares[-1][1][_COLOURS], cell, _COLOURS))
            if proofs[-1].share <= beyond:
                self.cells.remove(cell)
                self.cells.insert(0, cell)
                return proofs[-1]
        proofs += _turn_proofs(shares)
        return min(proofs, key=_share)

    def tolerances(self, picture: Picture) -> dict[Variant, float]:
        images = self._images(picture)
        shares = [(cell, cell.shares(images)) for cell in self.cells]
        proved = {cell.variant: min(1.0, found[_COLOURS]) for cell, found in shares}
        for proof in _turn_proofs(shares):
            proved[proof.cell.variant] = min(proved[proof.cell.variant], proof.share)
        return {
            variant: round(share * TOLERANCE[variant.precision], 4)
            for variant, share in proved.items()
        }

    def _images(self, picture: Picture) -> dict[str, Picture]:
        turned = {"": picture, **{name: turn(picture) for name, turn in _TURNS.items()}}
        return {
            name: self.preprocess(np.ascontiguousarray(view)).copy()
            for name, view in turned.items()
        }


def _turn_proofs(shares: Sequence[tuple[_Cell, dict[str, float]]]) -> list[_Proof]:
    """For mirroring and turning upside down, the network that shows it best."""
    return [
        max((_Proof(found[turn], cell, turn) for cell, found in shares), key=_share)
        for turn in _TURNS
        if turn != _COLOURS
    ]


def _share(proof: _Proof) -> float:
    return proof.share


def _groups(runners: Sequence[tuple[Network, Runner]], contract: InputContract) -> list[_Group]:
    groups: dict[int, _Group] = {}
    for network, runner in runners:
        for variant in network.variants():
            side = variant.resolution
            group = groups.setdefault(side, _Group(Preprocessor(contract, side), []))
            group.cells.append(_Cell(network, runner, variant))
    return list(groups.values())


def _weakest(groups: list[_Group], picture: Picture, beyond: float) -> _Proof:
    """Over all groups; stops at the first that proves no more than `beyond`."""
    proofs = []
    for group in tuple(groups):
        proofs.append(group.weakest(picture, beyond))
        if proofs[-1].share <= beyond:
            groups.remove(group)
            groups.insert(0, group)
            break
    return min(proofs, key=_share)


def check_golden(runner: Runner, family: Family, network: Network, picture: Picture) -> None:
    """Run the golden picture at each resolution, as a camera's frame. Of a taught family its
    backbone is proved: heads of two classes may tell nothing of red and blue.

    Raises InputError if golden scores are missing or differ by more than the tolerance.
    """
    family = family.base
    for variant in network.variants():
        golden = network.golden.get(variant.resolution)
        if golden is None:
            raise InputError(f"{variant} has no golden scores", where=network.path)
        tolerance = network.tolerance.get(variant.resolution, TOLERANCE[network.precision])
        preprocess = Preprocessor(family.input, variant.resolution)
        scores = runner.run(preprocess(picture))
        if scores.shape != (len(family.labels),):
            raise InputError(
                f"the network's scores do not match the family's {len(family.labels)} labels",
                where=network.path,
                got=f"{scores.size} scores",
            )
        if _distance(scores, golden) <= tolerance:
            continue
        fix = "create the network again with edged models import or quantize"
        swapped = preprocess(np.ascontiguousarray(_TURNS[_COLOURS](picture)))
        if _distance(runner.run(swapped), golden) <= tolerance:
            fix = "the file expects BGR; a family's networks take RGB"
        expected = ", ".join(f"{family.labels[number]} {score:.4f}" for number, score in golden)
        got = ", ".join(f"{family.labels[number]} {scores[number]:.4f}" for number, _ in golden)
        raise InputError(
            f"{variant} gives wrong scores for the golden picture: "
            f"expected {expected}, each within {tolerance}",
            where=network.path,
            got=got,
            fix=fix,
        )


def _best(scores: NDArray[np.float32]) -> Golden:
    best = np.argsort(-scores, kind="stable")[:_TOP]
    return tuple((int(number), round(float(scores[number]), 4)) for number in best)


def _distance(scores: NDArray[np.float32], golden: Golden) -> float:
    """The largest difference in the golden classes; NaN if a score is NaN."""
    return float(np.max([abs(float(scores[number]) - score) for number, score in golden]))
