"""Trains the embedded motion model: MDM and its text encoder jointly, predicting the clean motion."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from syncsde3d.lit.training_common import AveragedTraining
from syncsde3d.lit.training_motion_data import MotionDataModule
from syncsde3d.lit.training_motion_init import start_well
from syncsde3d.models.embedded import PROMPT_LENGTH, word_tokenizer
from syncsde3d.models.motion_diffusion import load_tokenizer, motion_scheduler
from syncsde3d.models.motion_net import MotionNet
from syncsde3d.motion.captions import vocabulary
from syncsde3d.motion.features import CONTACTS, FEET, HEIGHT, VELOCITIES, VELOCITY, YAW, to_joints

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

#: Weight of the root's motion, which is 4 channels of 263 and decides where the person goes.
ROOT_WEIGHT = 8.0
#: Weight of the change from frame to frame, and of the squared speed of feet that stand, metres per frame.
CHANGE_WEIGHT, FOOT_WEIGHT = 4.0, 400.0
#: Largest speed that is learnt, in standard deviations.
OUTLIER = 8.0


class MotionTraining(AveragedTraining):
    """Joint training of the network and its text encoder.

    start: folder to continue from (fresh optimizer and warm-up). latent_dim, layers, heads: of the network;
    its feed-forward layers are twice as wide, as MDM's. text_width: of the text encoder. drop: share of the
    rows trained without text, for guidance.
    """

    def __init__(
        self,
        start: str | None = None,
        latent_dim: int = 192,
        layers: int = 6,
        heads: int = 3,
        text_width: int = 128,
        drop: float = 0.1,
        lr: float = 1e-3,
        warmup: int = 100,
        decay: float = 0.998,
        minutes: float | None = None,
    ) -> None:
        super().__init__(lr, warmup, decay, minutes)
        self.save_hyperparameters()
        self.start, self.drop = start, drop
        self.sizes = {"latent_dim": latent_dim, "layers": layers, "heads": heads, "ff": 2 * latent_dim}
        self.text_width = text_width
        if start:
            self.tokenizer = load_tokenizer(start)
            net = MotionNet.from_pretrained(start, torch_dtype=torch.float32)
            self.take(net)

    def configure_model(self) -> None:
        """Build the network, once the data have told the vocabulary and the statistics."""
        if self.start or hasattr(self, "net"):
            return
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(data, MotionDataModule)
        self.tokenizer = word_tokenizer(vocabulary(data.captions))
        net = MotionNet(**self.sizes, text_width=self.text_width, vocab_size=len(self.tokenizer))
        net.mean.copy_(data.mean)
        net.std.copy_(data.std)
        rows = torch.cat([clip.features[: clip.own : 5] for clip in data.train])
        start_well(net.mdm, (rows - data.mean) / data.std)
        self.take(net)

    @cached_property
    def scheduler(self) -> DDIMScheduler:
        """The noise schedule of the training."""
        return motion_scheduler(self.net.config["diffusion_steps"])

    def tokens(self, captions: list[str]) -> Tensor:
        """Token ids [b, length] on this module's device."""
        out = self.tokenizer(
            captions, padding=True, truncation=True, max_length=PROMPT_LENGTH, return_tensors="pt"
        )
        return out.input_ids.to(self.device)

    def loss(
        self, net: nn.Module, batch: dict, t: Tensor, noise: Tensor, dropped: Tensor
    ) -> dict[str, Tensor]:
        """The terms of the loss, each a mean over all frames that are there."""
        raw = batch["features"]
        there = torch.arange(raw.shape[1], device=raw.device) < batch["frames"][:, None]
        clean = (raw - self.net.mean) / self.net.std
        for group in (YAW, VELOCITY, VELOCITIES):  # jumps of the capture, somersaults
            clean[..., group] = clean[..., group].clamp(-OUTLIER, OUTLIER)
        clean = clean * there[..., None]
        alpha = self.alphas.to(raw.device)[t][:, None, None]
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        padding = None if bool(there.all()) else ~there
        with sdpa_kernel(SDPBackend.MATH) if raw.device.type == "cpu" else nullcontext():  # a third faster
            output = net(noisy, t, self.tokens(batch["caption"]), dropped, padding).float()
        error, pair = output - clean, there[:, 1:] & there[:, :-1]
        weight, smooth = torch.ones_like(error[0, 0]), VELOCITIES.start
        weight[: HEIGHT.stop] = ROOT_WEIGHT
        terms = {
            "state": masked_mean((error.square() * weight).mean(-1), there),
            "change": masked_mean((error.diff(dim=1).square() * weight)[..., :smooth].mean(-1), pair),
        }
        slip = foot_slip(output * self.net.std + self.net.mean, raw[..., CONTACTS])
        terms["foot"] = masked_mean(slip * alpha[..., 0], pair)
        return terms

    @property
    def alphas(self) -> Tensor:
        """Cumulative products of the training's schedule [steps]."""
        return self.scheduler.alphas_cumprod

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        b, steps = len(batch["features"]), len(self.alphas)
        t = draw_timesteps(b, steps)[torch.randperm(b)].to(self.device)
        noise = torch.randn_like(batch["features"])
        dropped = torch.rand(b, device=self.device) < self.drop
        terms = self.loss(self.net, batch, t, noise, dropped)
        for name, value in terms.items():
            self.log(name, value, prog_bar=name == "state", batch_size=b)
        return terms["state"] + CHANGE_WEIGHT * terms["change"] + FOOT_WEIGHT * terms["foot"]

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        b, steps = len(batch["features"]), len(self.alphas)
        t = ((torch.arange(b) * 377 + 189) % steps).to(self.device)
        generator = torch.Generator().manual_seed(batch_idx)
        noise = torch.randn(batch["features"].shape, generator=generator).to(self.device)
        terms = self.loss(self.average, batch, t, noise, torch.zeros_like(t, dtype=torch.bool))
        self.log_dict({f"val_{name}": value for name, value in terms.items()}, batch_size=b)

    def export(self, folder: Path) -> None:
        """Write the averaged model, float16, with its tokenizer."""
        copy.deepcopy(self.average).half().save_pretrained(folder)
        self.tokenizer.save_pretrained(folder / "tokenizer")


def draw_timesteps(count: int, steps: int) -> Int[Tensor, " count"]:
    """Evenly spread timesteps, a third of them in the noisiest tenth, where the text alone decides."""
    share = (torch.arange(count) + torch.rand(count)) / count
    share = torch.where(share < 2 / 3, share * 1.5, 0.9 + 0.3 * (share - 2 / 3))
    return (share * steps).long().clamp(max=steps - 1)


def masked_mean(values: Float[Tensor, "b t"], there: Bool[Tensor, "b t"]) -> Float[Tensor, ""]:
    """Mean of the values that are there."""
    return (values * there).sum() / there.sum().clamp(min=1)


def foot_slip(features: Float[Tensor, "b t 263"], contacts: Float[Tensor, "b t 4"]) -> Float[Tensor, "b t-1"]:
    """Squared speed of feet while they ought to stand still, in metres per frame, mean of the four."""
    joints = to_joints(features)[:, :, list(FEET)]
    return (joints.diff(dim=1).square().sum(-1) * contacts[:, :-1]).mean(-1)
