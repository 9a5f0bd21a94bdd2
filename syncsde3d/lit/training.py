"""LightningModules that train the embedded models on synthetic pictures."""

from syncsde3d.lit.training_common import Export
from syncsde3d.lit.training_data import SyntheticDataModule
from syncsde3d.lit.training_judge import JudgeTraining
from syncsde3d.lit.training_latent import LatentTraining
from syncsde3d.lit.training_pixel import PixelTraining
from syncsde3d.lit.training_vae import VAETraining

__all__ = ["Export", "JudgeTraining", "LatentTraining", "PixelTraining", "SyntheticDataModule", "VAETraining"]
