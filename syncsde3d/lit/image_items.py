"""Pictures to make, and what they turn into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncsde3d.core import Trajectory
from syncsde3d.lit.items import Stays

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8


@dataclass(frozen=True)
class WideItem(Stays):
    """A wide image to make.

    prompt: for the whole width; places: prompts at shares of the width, 0 is the left border, in its stead.
    extends: folder of an earlier result that goes on to the right. start_from: a picture that does.
    seed, id: a name unique in the run; both choose the noise.
    """

    prompt: str = ""
    places: tuple[tuple[float, str], ...] = ()
    extends: Path | None = None
    start_from: Path | None = None
    seed: int = 0
    id: str = ""


@dataclass(frozen=True)
class Region:
    """A prompt for the white part of a mask, a picture file."""

    prompt: str
    mask: Path


@dataclass(frozen=True)
class MaskedItem(Stays):
    """A picture with a background, regions with prompts of their own, and a prompt for the whole."""

    prompt: str
    background: str
    regions: tuple[Region, ...]
    seed: int = 0
    id: str = ""


@dataclass(frozen=True)
class AmbiguousItem(Stays):
    """A picture that shows each of its prompts in another view.

    views: of every prompt after the first, which is seen as it is; or of all, the first "identity".
    """

    prompts: tuple[str, ...]
    views: tuple[str, ...] = ("rotate_180",)
    seed: int = 0
    id: str = ""


@dataclass(frozen=True)
class EditItem(Stays):
    """A picture to edit.

    source_prompt, target_prompt: what it shows, and shall show. source_words, target_words: what to replace,
    and with what; each prompt can be left out where words say enough. mask: a picture file, white where to
    edit; else the region is found.
    """

    image: Path
    source_prompt: str = ""
    target_prompt: str = ""
    source_words: str = ""
    target_words: str = ""
    mask: Path | None = None
    seed: int = 0
    id: str = ""


#: One of the items above.
ImageItem = WideItem | MaskedItem | AmbiguousItem | EditItem


@dataclass(frozen=True)
class ImageResult(Stays):
    """A finished picture.

    pictures: by name, uint8 [h, w, 3]; "image" is the result. overview: which of them to put side by side,
    with their labels. film: frames that show how the picture changes into its other views. prompts: all, in
    the order of the patches. figures: what was measured. notes: what the user should know.
    trajectory, latents: from which the picture can be extended. tiles: folder of finished parts.
    inputs: files by name. settings, models, seconds: as for :class:`~syncsde3d.TexturedMesh`.
    key: fingerprint of all that decided the result.
    """

    item: Any
    pictures: Mapping[str, UInt8[np.ndarray, "h w 3"]]
    prompts: tuple[str, ...]
    settings: dict[str, Any]
    models: dict[str, str | None]
    key: str
    overview: Mapping[str, str] = field(default_factory=dict)
    film: tuple[UInt8[np.ndarray, "h w 3"], ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    trajectory: Trajectory | None = None
    latents: np.ndarray | None = None
    tiles: Path | None = None
    inputs: Mapping[str, Path] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
