"""Unfinished and finished trajectories on disk: to go on after a stop, or to extend a chain later."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from syncsde3d.core import Checkpoint, Trajectory
from syncsde3d.io.output import writing


def save_trajectories(path: str | os.PathLike[str], trajectories: Iterable[Trajectory]) -> None:
    """Finished trajectories of a streaming run as one safetensors file, to be extended later."""
    states = {f"states.{t.patch}": t.states.contiguous() for t in trajectories}
    with writing(path) as temporary:
        temporary.write_bytes(save(states))


def load_trajectories(path: str | os.PathLike[str]) -> list[Trajectory]:
    """What :func:`save_trajectories` wrote, in the order of the patches.

    Raises ValueError, naming the file, when it is something else.
    """
    try:
        tensors = load_file(path)
        found = [Trajectory(int(name.removeprefix("states.")), states) for name, states in tensors.items()]
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"'{path}': expected saved trajectories, got another file ({error})") from None
    return sorted(found, key=lambda trajectory: trajectory.patch)


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """A lockstep run between two steps."""
    with writing(path) as temporary:
        torch.save(asdict(checkpoint), temporary)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """What :func:`save_checkpoint` wrote; nothing in the file is executed.

    Raises ValueError, naming the file, when it is something else.
    """
    try:
        return Checkpoint(**torch.load(path, weights_only=True, map_location="cpu"))
    except OSError:
        raise
    except Exception as error:  # torch reports a damaged or foreign file in many ways
        raise ValueError(f"'{path}': expected a sampling checkpoint, got another file") from error
