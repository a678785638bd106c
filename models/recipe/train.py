"""Training of one network: a pure schedule, a loop over epochs, and checkpoints between them.

Everything random in an epoch follows from the seed, alpha and the epoch's number alone, so a run
that was stopped and one that was not draw the same pictures in the same order.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name every reader of PyTorch code knows
from network import MobileNet
from numpy.typing import NDArray
from pictures import Photos, augmented, whole
from torch import Tensor
from tqdm import tqdm

from edged.atomic_file import write_whole
from edged.errors import EdgedError, InputError
from edged.variants.mobilenet import Architecture

EPOCH_STEPS = 64
"""The fewest steps of an epoch: some hundred pictures make two batches, and thirty epochs of those
end where they began."""
AVERAGE_DECAY = 0.995
"""Per step, of the averaged weights that are evaluated and exported (Polyak averaging)."""
JITTER = 0.2
"""Brightness, contrast and saturation each change by up to this share."""
TEACHER_TEMPERATURE = 2.0
TEACHER_SHARE = 0.7
"""Of the loss, when there is a teacher; the labels have the rest."""


class Teacher(Protocol):
    """A network that has learnt these classes already."""

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB (n, side, side, 3) -> (n, classes), each row summing to 1."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What makes two runs the same run. resolutions: those that batches are drawn from. start: the
    network whose weights a run begins with; None for random ones.
    """

    alpha: float
    classes: int
    resolutions: tuple[int, ...]
    epochs: int
    seed: int
    batch: int = 64
    learning_rate: float = 8e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    bfloat16: bool = False
    teacher: str | None = None
    epoch_steps: int = EPOCH_STEPS
    start: str | None = None

    def batches(self, photos: int) -> int:
        """Steps of an epoch: one pass over the pictures, or epoch_steps where these are more."""
        return max(self.epoch_steps, photos // self.batch)


@dataclass
class Run:
    """A training between two epochs."""

    settings: Settings
    network: MobileNet
    averaged: MobileNet
    optimizer: torch.optim.Optimizer
    history: list[dict[str, Any]]
    steps: int = 0

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    @property
    def finished(self) -> bool:
        return self.epoch >= self.settings.epochs


def learning_rate(settings: Settings, epoch: float) -> float:
    """Linear warm-up over the first tenth (two epochs at most), then half a cosine to zero."""
    warm_up = min(2.0, settings.epochs / 10)
    if epoch < warm_up:
        return settings.learning_rate * epoch / warm_up
    progress = (epoch - warm_up) / (settings.epochs - warm_up)
    return settings.learning_rate * (1 + math.cos(math.pi * min(1.0, progress))) / 2


def resolution_shares(resolutions: tuple[int, ...]) -> NDArray[np.float64]:
    """How often a batch has each resolution: so that each costs the same time over the run."""
    shares = np.array([1 / resolution**2 for resolution in resolutions])
    return np.asarray(shares / shares.sum())


def new_run(settings: Settings) -> Run:
    torch.manual_seed(settings.seed)
    architecture = Architecture(settings.alpha, settings.classes)
    network = MobileNet(architecture).to(memory_format=torch.channels_last)  # 4 x faster on a CPU
    averaged = MobileNet(architecture).to(memory_format=torch.channels_last)
    averaged.load_state_dict(network.state_dict())
    averaged.eval().requires_grad_(False)
    # Kernels of several inputs decay; depthwise ones, norms and biases do not: with nine weights
    # a channel they have nothing to spare (the MobileNet paper, section 3).
    decayed = [p for p in network.parameters() if p.ndim > 1 and p.shape[1] > 1]
    others = [p for p in network.parameters() if not (p.ndim > 1 and p.shape[1] > 1)]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
    )
    return Run(settings, network, averaged, optimizer, [])


def train(
    run: Run,
    training: Photos,
    validation: Photos,
    teacher: Teacher | None,
    after_epoch: Callable[[Run], None],
) -> None:
    """Run the epochs that are left; `after_epoch` is called when one is done."""
    while not run.finished:
        started, worked = time.monotonic(), time.process_time()
        entry = _train_epoch(run, training, teacher)
        seconds, cpu_seconds = time.monotonic() - started, time.process_time() - worked
        side = run.settings.resolutions[0]
        entry |= {
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu_seconds, 1),
            "held_out_resolution": side,
            "held_out_top1": round(accuracy(run.averaged, validation, side), 4),
        }
        run.history.append(entry)
        after_epoch(run)


def accuracy(network: MobileNet, photos: Photos, side: int) -> float:
    """Top-1 on whole squares."""
    right = 0
    with torch.inference_mode():
        for start in range(0, len(photos), 64):
            part = slice(start, start + 64)
            answer = network(normalised(whole(photos.pixels[part], side))).argmax(1).numpy()
            right += int((answer == photos.classes[part]).sum())
    return right / len(photos)


def normalised(images: NDArray[np.uint8]) -> Tensor:
    """uint8 (n, side, side, 3) -> float in -1..1 (n, 3, side, side), channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def jittered(images: NDArray[np.uint8], random: np.random.Generator) -> Tensor:
    """As `normalised`, with the brightness, contrast and saturation of each picture changed.

    All three are one affine map of a pixel's three values, so it is done as one product.
    """
    draw = random.uniform(1 - JITTER, 1 + JITTER, (3, len(images), 1, 1)).astype(np.float32)
    brightness, contrast, saturation = torch.from_numpy(draw)
    grey = torch.full((3, 3), 1 / 3)
    colours = saturation * torch.eye(3) + (1 - saturation) * grey
    pixels = torch.from_numpy(images).flatten(1, 2).float()
    mean = pixels.mean((1, 2), keepdim=True) * brightness
    offset = (1 - contrast) * mean / 127.5 - 1
    changed = torch.baddbmm(offset, pixels, colours * (brightness * contrast / 127.5))
    return changed.clamp_(-1, 1).view(images.shape).permute(0, 3, 1, 2)


def _train_epoch(run: Run, photos: Photos, teacher: Teacher | None) -> dict[str, Any]:
    settings = run.settings
    random = np.random.default_rng([settings.seed, round(settings.alpha * 1000), run.epoch])
    batches = settings.batches(len(photos))
    losses, right, seen = 0.0, 0, 0
    run.network.train()
    title = f"alpha {settings.alpha} epoch {run.epoch + 1}/{settings.epochs}"
    with tqdm(total=batches, desc=title, unit=" batches", disable=None) as progress:
        for index, (images, classes) in enumerate(_batches(settings, photos, random)):
            rate = learning_rate(settings, run.epoch + (index + 1) / batches)
            for group in run.optimizer.param_groups:
                group["lr"] = rate
            loss, hits = _step(run, images, classes, teacher, random)
            if not math.isfinite(loss):
                raise EdgedError(
                    "the training diverged: the loss is not a finite number",
                    where=f"alpha {settings.alpha}, epoch {run.epoch + 1}",
                    fix="start again with a lower --learning-rate",
                )
            losses, right, seen = losses + loss, right + hits, seen + len(classes)
            progress.update()
            progress.set_postfix(loss=f"{losses / (index + 1):.3f}", refresh=False)
    return {
        "alpha": settings.alpha,
        "epoch": run.epoch + 1,
        "learning_rate": round(rate, 7),
        "loss": round(losses / batches, 4),
        "training_top1": round(right / seen, 4),
    }


def _batches(
    settings: Settings, photos: Photos, random: np.random.Generator
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """One epoch: each picture once, or several times where that makes too few steps; without the
    few that would make the last batch a small one."""
    batches = settings.batches(len(photos))
    passes = -(-batches * settings.batch // len(photos))
    order = np.concatenate([random.permutation(len(photos)) for _ in range(max(1, passes))])
    shares = resolution_shares(settings.resolutions)
    for index in range(batches):
        chosen = order[index * settings.batch : (index + 1) * settings.batch]
        side = int(random.choice(settings.resolutions, p=shares))
        yield augmented(photos.pixels[chosen], side, random), photos.classes[chosen]


def _step(
    run: Run,
    images: NDArray[np.uint8],
    classes: NDArray[np.int64],
    teacher: Teacher | None,
    random: np.random.Generator,
) -> tuple[float, int]:
    target = torch.from_numpy(classes)
    inputs = jittered(images, random)
    with torch.autocast("cpu", torch.bfloat16, enabled=run.settings.bfloat16):
        logits = run.network(inputs)
    logits = logits.float()
    loss = F.cross_entropy(logits, target, label_smoothing=run.settings.label_smoothing)
    if teacher is not None:
        taught = torch.from_numpy(teacher.probabilities(images)).clamp_min(1e-6)
        softened = F.softmax(taught.log() / TEACHER_TEMPERATURE, dim=1)
        answer = F.log_softmax(logits / TEACHER_TEMPERATURE, dim=1)
        # Hinton et al., arXiv 1503.02531: the square keeps the gradients' size.
        distance = F.kl_div(answer, softened, reduction="batchmean") * TEACHER_TEMPERATURE**2
        loss = (1 - TEACHER_SHARE) * loss + TEACHER_SHARE * distance
    run.optimizer.zero_grad()
    loss.backward()
    run.optimizer.step()
    _average(run)
    return float(loss.detach()), int((logits.argmax(1) == target).sum())


@torch.no_grad()  # type: ignore[untyped-decorator]
def _average(run: Run) -> None:
    """Move the averaged network a little towards the trained one; faster in the first steps."""
    run.steps += 1
    decay = min(AVERAGE_DECAY, (1 + run.steps) / (10 + run.steps))
    for average, new in zip(
        run.averaged.state_dict().values(), run.network.state_dict().values(), strict=True
    ):
        if average.is_floating_point():
            average.lerp_(new, 1 - decay)
        else:
            average.copy_(new)


def save(run: Run, path: Path) -> None:
    """Write a checkpoint, and beside it the run's log (one JSON line per epoch), atomically."""
    state = {
        "settings": asdict(run.settings),
        "network": run.network.state_dict(),
        "averaged": run.averaged.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "history": run.history,
        "steps": run.steps,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    torch.save(state, content)
    write_whole(path, content.getvalue())
    log = "".join(json.dumps(entry) + "\n" for entry in run.history)
    write_whole(path.with_suffix(".jsonl"), log.encode())


def load(path: Path) -> Run:
    """The run of a checkpoint. Raises InputError for a file that is none."""
    try:
        # weights_only: tensors and plain values, never code from the file.
        state = torch.load(path, map_location="cpu", weights_only=True)
        stored = dict(state["settings"])
        settings = Settings(**(stored | {"resolutions": tuple(stored["resolutions"])}))
        run = new_run(settings)
        run.network.load_state_dict(state["network"])
        run.averaged.load_state_dict(state["averaged"])
        run.optimizer.load_state_dict(state["optimizer"])
        run.history.extend(state["history"])
        run.steps = int(state["steps"])
    except Exception as error:  # a damaged file fails in torch in many ways, none of them ours
        raise InputError(
            "not a checkpoint of this recipe, or a damaged one",
            where=path,
            got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            fix="remove the file to train this network again",
        ) from None
    return run


def stored_run(path: Path, settings: Settings) -> Run | None:
    """The run of the checkpoint at `path`, if there is one. Raises InputError if it is of other
    settings."""
    if not path.exists():
        return None
    run = load(path)
    if run.settings != settings:
        old, new = asdict(run.settings), asdict(settings)
        differences = [
            f"{key} {old[key]} there, {new[key]} here" for key in old if old[key] != new[key]
        ]
        raise InputError(
            "this checkpoint belongs to another training",
            where=path,
            got="; ".join(differences),
            fix="repeat that training's options or name another --checkpoints folder",
        )
    return run
