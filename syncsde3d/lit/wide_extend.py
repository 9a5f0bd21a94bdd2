"""How a wide image goes on: from what a result folder keeps, or from a picture that is inverted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from syncsde3d.core import Denoiser, Sampler, Trajectory
from syncsde3d.core.inversion import invert
from syncsde3d.io.manifest import read_manifest
from syncsde3d.io.read_images import read_image, resize
from syncsde3d.io.trajectory import load_trajectories
from syncsde3d.lit.item_module import check_same
from syncsde3d.models.images import ImageModel
from syncsde3d.tasks.wide_image import WideImageTask

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

#: In a result folder: the last window's trajectory, and the latents of the whole picture.
TRAJECTORY, LATENTS = "trajectory.safetensors", "latents.npy"
#: Settings that must be the same for a chain to go on.
_SAME = ("model", "steps", "scheduler", "height", "window", "stride")


@dataclass(frozen=True)
class Earlier:
    """A picture to continue to the right.

    latents: from the left border up to the end of a window, of which trajectory is. picture: in [-1, 1], to
    be kept as it is; None if the latents' own will do. notes: what the user should know.
    """

    latents: Float[Tensor, "c h w"]
    trajectory: Trajectory
    picture: Float[Tensor, "3 H W"] | None = None
    notes: tuple[str, ...] = ()


def load_earlier(folder: Path, settings: Mapping[str, Any], task: WideImageTask) -> Earlier:
    """The result in ``folder``, to be continued with ``settings`` as ``task``.

    Raises ValueError, naming the folder, where it holds none that can be continued, or one made with other
    settings.
    """
    if not (folder / TRAJECTORY).is_file():
        raise ValueError(
            f"extend: '{folder}' holds no {TRAJECTORY}, expected the folder of a wide image of one row of "
            "windows, no circle, made with the strategy syncsde or independent"
        )
    try:
        made = read_manifest(folder).settings
        latents = torch.from_numpy(np.load(folder / LATENTS))
        (trajectory,) = load_trajectories(folder / TRAJECTORY)
    except FileNotFoundError as error:
        raise ValueError(f"extend: '{folder}' is not a whole result: {error}") from None
    check_same(folder, made, settings, _SAME)
    assert task.width is not None
    if trajectory.patch >= task.count - 1:
        raise ValueError(
            f"width: expected more than the {made['width']} pixels of '{folder}', got {settings['width']}"
        )
    return Earlier(latents, trajectory)


def begin_from_picture(
    path: Path,
    task: WideImageTask,
    model: ImageModel,
    sampler: Sampler,
    denoiser: Denoiser,
    device: torch.device,
) -> Earlier:
    """A picture in place of the first windows: the last of them is inverted. It is scaled to the height.

    denoiser: with the picture's prompt. Raises OSError for a file that is no picture, and ValueError for one
    that is narrower than a window, or leaves nothing to do.
    """
    given, notes = read_image(path), []
    height = task.height * model.factor
    width = round(given.shape[1] * height / given.shape[0])
    size = f"{given.shape[1]} x {given.shape[0]}"
    assert task.width is not None
    windows = (width // model.factor - task.window[1]) // task.stride[1] + 1
    if windows < 1 or windows >= task.count:
        limits = f"{task.window[1] * model.factor} to {task.width * model.factor - 1}"
        raise ValueError(
            f"start_from: '{path}' is {width} pixels wide at the height of {height}, expected {limits}"
        )
    if given.shape[0] != height:
        notes.append(f"'{path.name}' was resized from {size} to {width} x {height} pixels")
        given = resize(given, height, width)
    columns = ((windows - 1) * task.stride[1] + task.window[1]) * model.factor
    if columns < width:
        notes.append(
            f"the last {width - columns} columns of '{path.name}' were left out: they fill no window"
        )
    picture = torch.from_numpy(given[:, :columns].copy()).permute(2, 0, 1) / 127.5 - 1
    latents = model.encode(picture[None].to(device))[0].float()
    window = latents[..., -task.window[1] :]
    states = invert(sampler, denoiser, window[None])[:, 0]
    return Earlier(latents, Trajectory(windows - 1, states), picture, tuple(notes))
