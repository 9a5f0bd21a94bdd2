"""What goes through a predict loop: an item in, a result or a failure out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from syncsde3d.mesh.types import Mesh

if TYPE_CHECKING:
    from jaxtyping import Float
    from typing_extensions import Self

_ID = re.compile(r"[^\w.\-]+")


def safe_id(text: str) -> str:
    """``text`` as a folder name: letters, digits, ``_ . -`` only, never empty, hidden or a parent folder."""
    return _ID.sub("_", text).strip("._") or "item"


class Stays:
    """Something that Lightning need not move between devices."""

    def to(self, device: torch.device | str, **unused: Any) -> Self:
        """Itself: results are on the CPU already, inputs are read on the device."""
        return self


@dataclass(frozen=True)
class MeshItem(Stays):
    """One mesh to texture: a file, what it should look like, a seed, and a name unique in the run."""

    mesh: Path
    prompt: str
    seed: int = 0
    id: str = ""


@dataclass(frozen=True)
class TexturedMesh(Stays):
    """A finished item.

    texture: [3, t, t] in [0, 1], row 0 at v = 1. views, control: the sampled views and what they were
    conditioned on [n, 3, h, w] in [0, 1]. coverage: share of the surface's texels that some view saw.
    settings, models: everything that, with the item, repeats the run. seconds: time by stage.
    """

    item: MeshItem
    mesh: Mesh
    texture: Float[Tensor, "3 t t"]
    views: Float[Tensor, "n 3 h w"]
    control: Float[Tensor, "n 3 h w"]
    coverage: float
    settings: dict[str, Any]
    models: dict[str, str | None]
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped(Stays):
    """An item whose result already stands in the output folder."""

    item: Any


@dataclass(frozen=True)
class Failed(Stays):
    """An item that could not be done, and why, in one line."""

    item: Any
    reason: str


def one_line(error: BaseException) -> str:
    """The reason of an error without line breaks, never empty."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "not enough memory; lower --max-batch, the texture size or the model's precision"
    text = " ".join(str(error).split())
    return text or type(error).__name__


#: What a single item may raise without ending the run: bad input, unreadable files, too little memory.
ITEM_ERRORS = (ValueError, OSError, MemoryError, torch.OutOfMemoryError)
