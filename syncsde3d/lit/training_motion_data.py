"""Captioned motion clips as a Lightning data module: cropped, mirrored, the short ones made longer."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from syncsde3d.motion import features as channels
from syncsde3d.motion.captions import captions_of, reworded
from syncsde3d.motion.features import mirrored, to_features

if TYPE_CHECKING:
    from jaxtyping import Float

#: Channels that share one standard deviation, so that small motions of still joints are not blown up.
GROUPS = (
    *(channels.YAW, channels.VELOCITY, channels.HEIGHT, channels.POSITIONS),
    *(channels.ROTATIONS, channels.VELOCITIES, channels.CONTACTS),
)
#: Frames over which the jump at a seam fades.
FADE = 6


@dataclass(frozen=True)
class Clip:
    """One recording. features: [t, 263], made longer if it was short. own: frames that were recorded.

    loops: the added frames repeat it; otherwise its last pose is held.
    """

    action: str
    features: Float[Tensor, "t 263"]
    own: int
    loops: bool = True


def read_clips(folder: Path, split: str) -> list[tuple[str, Float[Tensor, "t 22 3"]]]:
    """(action, joints) of each clip of "train" or "val". ValueError if there are none, or a column lacks."""
    table = folder / "clips.csv"
    if not table.is_file():
        raise ValueError(f"data: no '{table}'; expected a folder of clips.csv, captions.json and npz files")
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if missing := {"clip_id", "file", "action", "split"} - set(reader.fieldnames or ()):
            raise ValueError(f"data: '{table}' has no column '{min(missing)}'")
        rows = [row for row in reader if row["split"] == split]
    if not rows:
        raise ValueError(f"data: '{table}' has no clip of the split '{split}'")
    archives = {name: np.load(folder / name) for name in {row["file"] for row in rows}}
    return [
        (row["action"], torch.from_numpy(archives[row["file"]][f"{row['clip_id']}/joints"]).float())
        for row in rows
    ]


def statistics(clips: list[Tensor]) -> tuple[Float[Tensor, " 263"], Float[Tensor, " 263"]]:
    """Mean of each channel, and the standard deviation, at least 1e-3, averaged over each group."""
    rows = torch.cat(clips).double()
    mean, std = rows.mean(0), rows.std(0)
    for group in GROUPS:
        std[group] = std[group].mean().clamp(min=1e-3)
    return mean.float(), std.float()


def prolonged(
    clip: Float[Tensor, "t 263"], frames: int, std: Float[Tensor, " 263"], closable: float = 0.55
) -> tuple[Float[Tensor, "frames 263"], bool]:
    """The clip made ``frames`` long, and whether by repeating it.

    It returns from its last third to the most alike pose of its first third, if they differ by less than
    ``closable`` standard deviations (root mean square, positions and velocities); else the last pose is held.
    """
    n = len(clip)
    if n >= frames:
        return clip, True
    pose = (clip / std)[:, channels.POSITIONS.start : channels.VELOCITIES.stop]
    early, late = pose[: max(1, n // 3)], pose[2 * n // 3 :]
    distance = torch.cdist(late, early) / pose.shape[1] ** 0.5
    j, i = divmod(int(distance.argmin()), len(early))
    j += 2 * n // 3
    if distance.min() < closable and j > i:
        pieces, length = [clip[:j]], j
        while length < frames:
            pieces.append(_faded(clip[i:j], clip[j]))
            length += j - i
        return torch.cat(pieces)[:frames], True
    still = clip[-1].clone()
    for group in (channels.YAW, channels.VELOCITY, channels.VELOCITIES):
        still[group] = 0
    still[channels.CONTACTS] = 1
    return torch.cat((clip, _faded(still.expand(frames - n, -1), clip[-1]))), False


def _faded(piece: Tensor, before: Tensor) -> Tensor:
    """The piece begun at ``before``, from where it would have gone on; the difference fades away."""
    ramp = torch.linspace(1, 0, FADE + 1)[: len(piece), None]
    begun = piece.clone()
    begun[: len(ramp)] += ramp * (before - piece[0])
    return begun


class MotionBatches(IterableDataset):
    """Endless batches of crops: features [b, t, 263] (zeros after a row's frames [b]), captions, actions.

    Actions are drawn by the square root of their seconds (at most ``cap``), clips of an action by their
    length. All rows of a batch are cropped to one length, drawn from ``frames`` (short ones more often),
    where they have as many.
    """

    def __init__(
        self,
        clips: list[Clip],
        captions: Mapping[str, tuple[str, ...]],
        batch_size: int,
        frames: tuple[int, int],
        seed: object,
        cap: float = 9.0,
    ) -> None:
        self.captions, self.batch_size, self.frames, self.seed = captions, batch_size, frames, seed
        self.passes = 0
        self.actions: dict[str, list[Clip]] = {}
        for clip in clips:
            self.actions.setdefault(clip.action, []).append(clip)
        seconds = [sum(clip.own for clip in group) / 40 for group in self.actions.values()]
        self.weights = [min(cap, s**0.5) for s in seconds]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        rng = random.Random(str((self.seed, self.passes)))
        self.passes += 1  # a trainer with a limit of batches asks again after each epoch
        while True:
            shortest, longest = self.frames
            longest = round(shortest * (longest / shortest) ** rng.random())
            rows = max(4, round(self.batch_size * 100 / longest))
            yield collate([self.draw(rng, longest) for _ in range(rows)], longest)

    def draw(self, rng: random.Random, longest: int) -> dict[str, Any]:
        """One crop with its caption."""
        group = rng.choices(list(self.actions.values()), self.weights)[0]
        clip = rng.choices(group, [clip.own for clip in group])[0]
        caption = reworded(rng.choice(self.captions[clip.action]), rng)
        length = min(longest, len(clip.features))
        last = len(clip.features) - length
        if not clip.loops:
            last = min(last, clip.own // 3)
        start = rng.randint(0, last)
        return {
            "features": clip.features[start : start + length],
            "caption": caption,
            "action": clip.action,
        }


def collate(rows: list[dict[str, Any]], longest: int) -> dict[str, Any]:
    """Rows of crops as one batch, padded with zeros to ``longest`` frames."""
    padded = torch.zeros(len(rows), longest, channels.FEATURES)
    for into, row in zip(padded, rows, strict=True):
        into[: len(row["features"])] = row["features"]
    return {
        "features": padded,
        "frames": torch.tensor([len(row["features"]) for row in rows]),
        "caption": [row["caption"] for row in rows],
        "action": [row["action"] for row in rows],
    }


class MotionDataModule(L.LightningDataModule):
    """Clips with captions, from a folder of ``clips.csv``, ``captions.json`` and the npz files they name.

    Attributes after :meth:`setup`: captions (of each action), mean and std [263].

    Args:
        data: the folder. batch_size: crops per step, if they are of 100 frames; the more the shorter.
        frames: shortest and longest crop; clips under ``prolong`` frames are repeated, or their end is held.
        validation: number of fixed crops of held-out recordings. seed: of everything drawn.
    """

    captions: dict[str, tuple[str, ...]]
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        data: str = "../shared/data/motion",
        batch_size: int = 16,
        frames: tuple[int, int] = (32, 196),
        prolong: int = 160,
        validation: int = 48,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.data, self.batch_size, self.frames, self.prolong = Path(data), batch_size, frames, prolong
        self.validation, self.seed = validation, seed
        self.train: list[Clip] = []
        self.held: list[Clip] = []

    def setup(self, stage: str | None = None) -> None:
        if self.train:
            return
        captions = self.data / "captions.json"
        train, held = (_with_mirrored(self.data, split) for split in ("train", "val"))
        self.captions = captions_of(json.loads(captions.read_text(encoding="utf-8")))
        self.mean, self.std = statistics([clip for _, clip in train])
        for clips, into in ((train, self.train), (held, self.held)):
            for action, clip in clips:
                longer, loops = prolonged(clip, self.prolong, self.std)
                into.append(Clip(action, longer, len(clip), loops))

    def train_dataloader(self) -> DataLoader:
        rank = self.trainer.global_rank if self.trainer else 0
        seed = (self.seed, rank)
        return DataLoader(
            MotionBatches(self.train, self.captions, self.batch_size, self.frames, seed), batch_size=None
        )

    def val_dataloader(self) -> DataLoader:
        count = -(-self.validation // self.batch_size)
        batches = iter(MotionBatches(self.held, self.captions, self.batch_size, self.frames, "held"))
        return DataLoader([next(batches) for _ in range(count)], batch_size=None)  # pyright: ignore


def _with_mirrored(folder: Path, split: str) -> list[tuple[str, Tensor]]:
    """(action, features) of each clip and of its mirror image."""
    return [
        (action, to_features(joints))
        for action, clip in read_clips(folder, split)
        if len(clip) > 8
        for joints in (clip, mirrored(clip))
    ]
