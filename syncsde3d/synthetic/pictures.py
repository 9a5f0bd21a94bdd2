"""Captioned pictures with depth, painted on demand: objects, scenes, and objects before scenes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from syncsde3d.synthetic.buffers import Buffers
from syncsde3d.synthetic.captions import VIEWS, Subject, caption, held_out, nothing, view_word
from syncsde3d.synthetic.materials import COLOURS, MATERIALS, base_colour, luminance, paint, shade
from syncsde3d.synthetic.scenes import SCENES, TIMES, panorama


@dataclass(frozen=True)
class Picture:
    """One picture: RGB [h, w, 3] uint8, depth image [h, w] uint8 (None without depth), and what it shows."""

    image: np.ndarray
    depth: np.ndarray | None
    subject: Subject


def background(object_luminance: float, colour: str, rng: np.random.Generator) -> np.ndarray:
    """A plain colour [3], at least 0.22 darker than the object if its colour is a bright one, else lighter.

    Were it either behind each, an object would on average be no lighter than its ground, and without depth
    nothing would tell where it is.
    """
    darker = float(luminance(base_colour(colour))) > 0.45
    for _ in range(256):
        value, saturation, hue = rng.uniform(0.05, 1.0), rng.uniform(0, 0.55), rng.uniform(0, 6)
        ramp = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
        plain = (value * (1 - saturation + saturation * ramp)).astype(np.float32)
        gap = object_luminance - float(luminance(plain))
        if (gap if darker else -gap) > 0.22:
            return plain
    return np.full(3, 0.9 if object_luminance < 0.5 else 0.1, np.float32)


def painted(
    buffers: Buffers, view: int, material: str, colour: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The object of one view, painted and lit [h, w, 3], and its coverage [h, w]; both in [0, 1]."""
    alpha = np.asarray(buffers.alpha[view], np.float32) / 255
    seen = alpha > 0
    normal = buffers.normal[view][seen].astype(np.float32) / 127
    albedo = paint(material, colour, buffers.position[view][seen].astype(np.float32), normal, seed)
    rgb = np.zeros((*alpha.shape, 3), np.float32)
    rgb[seen] = shade(albedo, normal, buffers.facing[view][seen].astype(np.float32) / 255)
    return np.clip(rgb, 0, 1), alpha


def to_bytes(image: np.ndarray) -> np.ndarray:
    """[0, 1] floats to uint8."""
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def object_picture(
    buffers: Buffers, view: int, material: str, colour: str, rng: np.random.Generator
) -> Picture:
    """One painted object on a plain background, with its depth image."""
    rgb, alpha = painted(buffers, view, material, colour, int(rng.integers(1 << 31)))
    bright = float(luminance(rgb[alpha > 0.5]).mean()) if (alpha > 0.5).any() else 0.5
    plain = background(bright, colour, rng)
    image = rgb * alpha[..., None] + plain * (1 - alpha[..., None])
    azimuth, elevation = buffers.views[view]
    subject = Subject(buffers.names[view], colour, material, view_word(float(azimuth), float(elevation)))
    return Picture(to_bytes(image), np.asarray(buffers.depth[view]), subject)


def composed_picture(
    buffers: Buffers, view: int, material: str, colour: str, scene: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, Subject]:
    """One painted object, somewhat smaller, standing before a scene [h, w, 3]; the object's facts."""
    rgb, alpha = painted(buffers, view, material, colour, int(rng.integers(1 << 31)))
    layers = torch.from_numpy(np.concatenate((rgb * alpha[..., None], alpha[..., None]), -1)).permute(
        2, 0, 1
    )[None]
    size, h, w = int(scene.shape[0] * rng.uniform(0.62, 0.92)), *scene.shape[:2]
    small = torch.nn.functional.interpolate(layers, (size, size), mode="bilinear", antialias=True)[0]
    top, left = h - size + int(0.04 * h) - int(rng.integers(0, 6)), int(rng.integers(0, w - size + 1))
    top = min(top, h - size)
    canvas = np.zeros((h, w, 4), np.float32)
    canvas[top : top + size, left : left + size] = small.permute(1, 2, 0).numpy()
    image = canvas[..., :3] + scene * (1 - canvas[..., 3:])
    azimuth, elevation = buffers.views[view]
    return image, Subject(buffers.names[view], colour, material, view_word(float(azimuth), float(elevation)))


class PictureSource:
    """Draws pictures by seed: objects, scenes and composed ones in given shares.

    buffers: views of the objects. shares: of objects, scenes, composed pictures; they sum to 1.
    held: draw only combinations held out of training (True), only the others (False), or all (None).
    materials: of MATERIALS to paint with; all when empty. any_view: name views by chance, so that their words
    say nothing: for models that draw each object from one side. Raises ValueError when no combination of an
    object, a colour and one of ``materials`` is as ``held`` asks.
    """

    def __init__(
        self,
        buffers: Buffers,
        shares: tuple[float, float, float] = (0.7, 0.2, 0.1),
        held: bool | None = False,
        materials: Sequence[str] = (),
        any_view: bool = False,
    ) -> None:
        self.buffers, self.shares, self.held, self.any_view = buffers, shares, held, any_view
        self.materials = list(materials or MATERIALS)
        combinations = product(COLOURS, self.materials, set(buffers.names))
        if shares[1] < 1 and held is not None and not any(held_out(*c) == held for c in combinations):
            raise ValueError(
                f"materials {self.materials}: expected some combination of a colour and an "
                f"object that is {'held out of' if held else 'left to'} training; there is none"
            )
        self._scenes: dict[tuple[str, str], list[np.ndarray]] = {}

    def draw(self, rng: np.random.Generator) -> Picture:
        """One picture; equal generators draw equal pictures if the source has drawn the same before."""
        kind = rng.choice(3, p=self.shares)
        if kind == 1:
            image, scene, time = self._scene(rng)
            return Picture(to_bytes(image), None, Subject(scene=scene, time=time))
        view, material, colour = self._object(rng)
        if kind == 0:
            picture = object_picture(self.buffers, view, material, colour, rng)
            if not self.any_view:
                return picture
            return replace(picture, subject=replace(picture.subject, view=str(rng.choice(VIEWS))))
        scene_image, scene, time = self._scene(rng)
        image, subject = composed_picture(self.buffers, view, material, colour, scene_image, rng)
        return Picture(
            to_bytes(image), None, Subject(**{**vars(subject), "view": "", "scene": scene, "time": time})
        )

    def _object(self, rng: np.random.Generator) -> tuple[int, str, str]:
        while True:
            view = int(rng.integers(len(self.buffers)))
            material, colour = str(rng.choice(self.materials)), str(rng.choice(list(COLOURS)))
            if self.held is None or held_out(colour, material, self.buffers.names[view]) == self.held:
                return view, material, colour

    def _scene(self, rng: np.random.Generator) -> tuple[np.ndarray, str, str]:
        """A window of a panorama; panoramas are kept, and one in 12 draws paints a new one."""
        scene, time = str(rng.choice(SCENES)), str(rng.choice(TIMES))
        kept = self._scenes.setdefault((scene, time), [])
        size = self.buffers.alpha.shape[1]
        if not kept or rng.uniform() < 1 / 12:
            kept.append(panorama(scene, time, 4 * size, rng, size))
            del kept[:-8]
        wide = kept[int(rng.integers(len(kept)))]
        left = int(rng.integers(wide.shape[1] - size + 1))
        window = wide[:, left : left + size]
        return (window[:, ::-1] if rng.uniform() < 0.5 else window), scene, time


def as_item(picture: Picture, rng: np.random.Generator, drop: float = 0.0) -> dict[str, object]:
    """A picture as training takes it.

    Returns image uint8 [3, h, w], depth uint8 [1, h, w] (zeros without), has_depth, caption (dropped with
    probability ``drop``) and subject, the facts joined by "|".
    """
    depth = picture.depth if picture.depth is not None else np.zeros(picture.image.shape[:2], np.uint8)
    text = nothing(rng) if rng.uniform() < drop else caption(picture.subject, rng)
    return {
        "image": torch.from_numpy(np.ascontiguousarray(picture.image.transpose(2, 0, 1))),
        "depth": torch.from_numpy(np.array(depth))[None],
        "has_depth": picture.depth is not None,
        "caption": text,
        "subject": "|".join(vars(picture.subject).values()),
    }


class Pictures(IterableDataset):
    """Endless training items, repeatable by seed; every rank, worker and pass draws its own."""

    def __init__(self, source: PictureSource, seed: int, drop: float = 0.0, rank: int = 0) -> None:
        self.source, self.seed, self.drop, self.rank = source, seed, drop, rank
        self.passes = 0

    def __iter__(self) -> Iterator[dict[str, object]]:
        worker = get_worker_info()
        # always as many words: NumPy takes (seed, 1) and (seed, 1, 0) for the same
        rng = np.random.default_rng([self.seed, self.rank, worker.id if worker else 0, self.passes])
        self.passes += 1  # a trainer with a limit of batches asks again after each epoch
        while True:
            yield as_item(self.source.draw(rng), rng, self.drop)
