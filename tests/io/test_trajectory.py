"""A run that is saved and read back goes on exactly as if it had not been stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler

from syncsde3d.core import Checkpoint, NoiseSource, Sampler, Sync, Task
from syncsde3d.io.trajectory import (
    load_checkpoint,
    load_trajectories,
    save_checkpoint,
    save_trajectories,
)
from syncsde3d.models.closed_form import GaussianMixture


class Chain(Task):
    """Each patch agrees with the one before."""

    count, lookback = 4, 1

    def needs(self, i: int) -> tuple[int, ...]:
        return (i - 1,) if i else ()

    def reference(self, i: int, earlier: Mapping[int, torch.Tensor]) -> torch.Tensor:
        return earlier[i - 1]

    def precision(self, i: int) -> torch.Tensor:
        return torch.ones(())

    def agree(self, values: torch.Tensor, how: str) -> tuple[torch.Tensor, torch.Tensor]:
        return values.mean(0, keepdim=True).expand_as(values), torch.ones((), dtype=torch.bool)


MODEL = GaussianMixture(
    torch.linspace(-1, 1, 8).view(2, 4, 1), torch.full((2, 4, 1), 0.1), torch.tensor([0.3, 0.7])
)
SOURCE = NoiseSource(0, "x")
NOISE = torch.stack([SOURCE.initial(i, (5,)) for i in range(4)])


@pytest.mark.parametrize("kind", [DPMSolverMultistepScheduler, UniPCMultistepScheduler, DDPMScheduler])
def test_a_checkpoint_resumes_bit_for_bit(tmp_path: Path, kind: type):
    sampler = Sampler(kind(), steps=8, sync=Sync())
    saved: list[Checkpoint] = []
    whole = sampler.lockstep(Chain(), MODEL, NOISE, SOURCE, on_checkpoint=saved.append)
    save_checkpoint(tmp_path / "run.pt", saved[4])
    resumed = sampler.lockstep(Chain(), MODEL, NOISE, SOURCE, resume=load_checkpoint(tmp_path / "run.pt"))
    assert torch.equal(resumed, whole)


def test_a_saved_chain_is_extended(tmp_path: Path):
    sampler = Sampler(DPMSolverMultistepScheduler(), steps=8)
    chain = list(sampler.stream(Chain(), MODEL, NOISE.__getitem__, SOURCE))
    save_trajectories(tmp_path / "chain.safetensors", [chain[1], chain[0]])
    earlier = load_trajectories(tmp_path / "chain.safetensors")
    assert [t.patch for t in earlier] == [0, 1]
    later = list(sampler.stream(Chain(), MODEL, NOISE.__getitem__, SOURCE, earlier=earlier, first=2))
    assert torch.equal(torch.stack([t.result for t in later]), torch.stack([t.result for t in chain[2:]]))


@pytest.mark.parametrize("load", [load_checkpoint, load_trajectories])
def test_another_file_is_named(tmp_path: Path, load):
    (tmp_path / "notes.txt").write_text("not tensors")
    with pytest.raises(ValueError, match=r"notes.txt"):
        load(tmp_path / "notes.txt")
    with pytest.raises(OSError, match="missing"):
        load(tmp_path / "missing")
