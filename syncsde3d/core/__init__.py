"""The mathematics of synchronised diffusion: torch only, no files, no devices, no randomness but noise.py."""

from syncsde3d.core.coupling import Strategy, Sync, couple
from syncsde3d.core.denoise import denoise
from syncsde3d.core.inversion import invert
from syncsde3d.core.noise import NoiseSource
from syncsde3d.core.operators import Permutation, ViewName, make_view
from syncsde3d.core.path import SUPPORTED_SCHEDULERS, GaussianPath, from_x0, shift_noise, to_x0
from syncsde3d.core.protocols import Agreement, Denoiser, Prediction, Step, Task
from syncsde3d.core.sampler import Checkpoint, Sampler, Trajectory
from syncsde3d.core.strength import Ramp, inv_lambda_t, weight

__all__ = [
    "SUPPORTED_SCHEDULERS",
    "Agreement",
    "Checkpoint",
    "Denoiser",
    "GaussianPath",
    "NoiseSource",
    "Permutation",
    "Prediction",
    "Ramp",
    "Sampler",
    "Step",
    "Strategy",
    "Sync",
    "Task",
    "Trajectory",
    "ViewName",
    "couple",
    "denoise",
    "from_x0",
    "inv_lambda_t",
    "invert",
    "make_view",
    "shift_noise",
    "to_x0",
    "weight",
]
