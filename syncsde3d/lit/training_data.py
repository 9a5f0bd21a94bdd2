"""The synthetic pictures as a Lightning data module."""

# diffusers' classes give their parts no precise types.
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportCallIssue=false, reportOperatorIssue=false

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader

from syncsde3d.synthetic.buffers import Buffers, make_buffers
from syncsde3d.synthetic.captions import caption
from syncsde3d.synthetic.pictures import Pictures, PictureSource, as_item

#: Variants of each object from this seed on are never trained on.
HELD_VARIANTS = 100


class SyntheticDataModule(L.LightningDataModule):
    """Captioned pictures with depth, painted while training; views are rendered once into ``cache``.

    cache: folder for the rendered views (0.2 MB each). variants: of each object. views: of each variant; with
    a single one, captions name views by chance.
    shares: of objects on plain ground, scenes, objects before scenes. drop: share of captions dropped.
    names, materials: of the objects drawn; all when empty.
    validation: number of fixed pictures of held-out combinations and unseen variants.
    workers: painting processes. seed: of everything drawn; a run that continues another takes a new one.
    """

    def __init__(
        self,
        cache: str = "runs/views",
        batch_size: int = 32,
        variants: int = 6,
        views: int = 16,
        shares: tuple[float, float, float] = (0.7, 0.2, 0.1),
        drop: float = 0.0,
        names: Sequence[str] = (),
        materials: Sequence[str] = (),
        validation: int = 128,
        workers: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.cache, self.batch_size, self.variants, self.views = Path(cache), batch_size, variants, views
        self.shares, self.drop, self.names, self.materials = shares, drop, names, materials
        self.validation, self.workers, self.seed = validation, workers, seed

    def prepare_data(self) -> None:
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        seeds, held = range(self.variants), [HELD_VARIANTS]
        self.train = make_buffers(self.cache / "train", seeds, self.views, names=self.names)
        self.held = make_buffers(self.cache / "held", held, min(8, self.views), names=self.names)

    def train_dataloader(self) -> DataLoader:
        rank = self.trainer.global_rank if self.trainer else 0
        source = PictureSource(self.train, self.shares, False, self.materials, any_view=self.views == 1)
        pictures = Pictures(source, self.seed, self.drop, rank)
        return DataLoader(
            pictures,
            self.batch_size,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=False,
        )

    def val_dataloader(self) -> DataLoader:
        items = held_out_items(self.held, self.validation, self.shares, materials=self.materials)
        return DataLoader(items, self.batch_size)


def held_out_items(
    buffers: Buffers,
    count: int,
    shares: tuple[float, float, float],
    seed: int = 0,
    materials: Sequence[str] = (),
) -> list[dict]:
    """``count`` fixed items with their plainest captions, of combinations that training never sees."""
    source, rng = PictureSource(buffers, shares, True, materials), np.random.default_rng([seed, 1])
    items = []
    for _ in range(count):
        picture = source.draw(rng)
        items.append({**as_item(picture, rng), "caption": caption(picture.subject)})
    return items


def to_unit(image: torch.Tensor) -> torch.Tensor:
    """uint8 pictures to floats in [-1, 1]."""
    return image.float() / 127.5 - 1
