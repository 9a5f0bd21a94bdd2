"""Canvases decoded in strips against the decoder at once; few conditions for many patches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from syncsde3d.core import GaussianPath
from syncsde3d.models.closed_form import GaussianMixture
from syncsde3d.models.schedulers import make_scheduler
from syncsde3d.models.strips import SharedConditions, decode_strips


def local(latents: Tensor) -> Tensor:
    """A decoder that sees one latent around each: twice as large, three channels, blurred."""
    large = latents[:, :3].repeat_interleave(2, -1).repeat_interleave(2, -2)
    return F.avg_pool2d(F.pad(large, (1, 1, 1, 1), "replicate"), 3, 1)


@pytest.mark.parametrize("dim", [-1, -2])
@pytest.mark.parametrize("lengths", [(40,), (5, 9, 1, 25), (8,), (13, 14), (12, 4)])
def test_strips_are_the_whole(dim: int, lengths: tuple[int, ...]):
    """A decoder of small reach differs at the borders of blocks alone, where the fade gives it no weight."""
    latents = torch.randn(4, 6, sum(lengths), generator=torch.Generator().manual_seed(0))
    latents = latents if dim == -1 else latents.mT
    strips = list(decode_strips(local, latents.split(list(lengths), dim), dim, block=10, overlap=6))
    found, whole = torch.cat(strips, dim), local(latents[None])[0]
    assert found.shape == whole.shape
    assert (found - whole).abs().max() < 0.12 * whole.std()
    torch.testing.assert_close(found.narrow(dim, 0, 4), whole.narrow(dim, 0, 4))


def test_memory_is_that_of_a_block():
    seen = []

    def decode(latents: Tensor) -> Tensor:
        seen.append(latents.shape[-1])
        return local(latents)

    for _ in decode_strips(decode, (torch.zeros(4, 2, 3) for _ in range(100)), block=16, overlap=4):
        pass
    assert max(seen) < 16 + 4
    assert seen.count(16) == len(seen) - 1


def test_blocks_must_be_longer_than_what_they_share():
    with pytest.raises(ValueError, match="overlap: expected 1 to 7 latents, got 8"):
        list(decode_strips(local, [torch.zeros(4, 2, 9)], block=8, overlap=8))


def test_patches_share_conditions():
    import diffusers

    means = torch.stack((torch.zeros(1, 2, 2), torch.full((1, 2, 2), 3.0)))
    model = GaussianMixture(means[None], torch.ones_like(means)[None], torch.ones(1))
    scheduler = make_scheduler("ddim", diffusers.DDIMScheduler())
    scheduler.set_timesteps(4)
    step = GaussianPath.from_scheduler(scheduler).step(1)
    y, branch = torch.ones(3, 1, 2, 2), torch.zeros(3, dtype=torch.long)
    shared = SharedConditions(model, lambda i: i % 2)
    found = shared.predict(y, step, torch.tensor([10, 7, 3]), branch)
    torch.testing.assert_close(found, model.predict(y, step, torch.tensor([0, 1, 1]), branch))
    assert (shared.prediction, shared.guidance_scale) == (model.prediction, model.guidance_scale)
