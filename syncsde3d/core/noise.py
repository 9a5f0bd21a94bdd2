"""All randomness of a run: one independent stream per item, patch and purpose.

Streams depend on (seed, item, patch) alone and are drawn on the CPU, so a result does not depend on the
order of items, on how patches are batched, or on the number and kind of devices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class NoiseSource:
    """Random streams of one item of a run.

    seed: of the run. item: the item's id.
    """

    seed: int
    item: str = ""

    def generator(self, purpose: str) -> torch.Generator:
        """A fresh CPU generator for a named purpose; the same name gives the same stream again."""
        digest = hashlib.sha256(f"{self.seed}\0{self.item}\0{purpose}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") & (2**63 - 1))

    def initial(self, patch: int | str, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Unit Gaussian noise in which trajectory ``patch`` begins."""
        return torch.randn(tuple(shape), generator=self.generator(f"initial/{patch}"), dtype=dtype)

    def stepping(self, patch: int) -> torch.Generator:
        """The stream from which a scheduler draws the fresh noise of trajectory ``patch``."""
        return self.generator(f"step/{patch}")
