"""What all trainings share: the optimizer and its schedule, an averaged copy of the weights, exports."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from diffusers import ConfigMixin
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from syncsde3d.io.atomic import atomic_folder
from syncsde3d.models.embedded import PROMPT_LENGTH

#: Share of a run after which the learning rate falls.
FALL = 0.6


class AveragedTraining(L.LightningModule):
    """Trains ``self.net`` and keeps its exponential moving average, ``self.average``, which is exported.

    lr: highest learning rate (AdamW), reached after ``warmup`` steps; it falls to 2 % over the last 40 % of
    the run, which ends after ``minutes`` if given (for machines shared with others), else at the trainer's
    limit of steps or epochs. decay: of the average per step (lower at first).
    """

    net: Any
    average: Any

    def __init__(self, lr: float, warmup: int, decay: float, minutes: float | None) -> None:
        super().__init__()
        self.lr, self.warmup, self.decay, self.minutes = lr, warmup, decay, minutes
        self._started = time.monotonic()

    def take(self, net: nn.Module) -> None:
        """Make ``net`` the trained module; where it was loaded from is not exported with it."""
        for part in net.modules():
            if isinstance(part, ConfigMixin):
                part.register_to_config(_name_or_path="")
        self.net = net.train()
        self.average = copy.deepcopy(net).requires_grad_(False).eval()

    @property
    def scales_loss(self) -> bool:
        """Whether gradients are scaled, as float16 needs it."""
        return getattr(self.trainer.precision_plugin, "scaler", None) is not None

    def progress(self) -> float:
        """Share of the run already done, in [0, 1]."""
        if self.minutes is not None:
            return min(1.0, (time.monotonic() - self._started) / (60 * self.minutes))
        return min(1.0, self.global_step / max(1.0, self.trainer.estimated_stepping_batches))

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.AdamW(
            self.net.parameters(), self.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=not self.scales_loss
        )

        def factor(step: int) -> float:
            left = min(1.0, (1 - self.progress()) / (1 - FALL))
            return min(1.0, (step + 1) / self.warmup) * (0.02 + 0.98 * left)

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        # Lightning clips no gradients for a fused optimizer
        if self.scales_loss:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            nn.utils.clip_grad_norm_(self.net.parameters(), gradient_clip_val)

    def on_fit_start(self) -> None:
        self._started = time.monotonic()
        torch.manual_seed(torch.initial_seed() + self.global_rank)  # other noise on every device

    @torch.no_grad()
    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        decay = min(self.decay, (1 + self.global_step) / (10 + self.global_step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1 - decay)
        for mean, value in zip(self.average.buffers(), self.net.buffers(), strict=True):
            mean.copy_(value)
        if self.minutes is not None and self.progress() == 1:
            self.trainer.should_stop = True

    def export(self, folder: Path) -> None:
        """Write the averaged weights, float16, as the models are loaded."""
        raise NotImplementedError


class Export(L.Callback):
    """Exports the averaged weights to ``<default_root_dir>/weights`` after each validation and at the end."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.on_fit_end(trainer, pl_module)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero and isinstance(pl_module, AveragedTraining):
            with atomic_folder(Path(trainer.default_root_dir) / "weights") as folder:
                pl_module.export(folder)


def save_grid(images: Tensor, path: Path, columns: int = 8) -> None:
    """Write images [n, 3, h, w] in [-1, 1] as one PNG."""
    from PIL import Image

    n, c, h, w = images.shape
    rows = -(-n // columns)
    padded = torch.zeros(rows * columns, c, h, w)
    padded[:n] = (images.float().cpu().clamp(-1, 1) + 1) / 2
    grid = padded.view(rows, columns, c, h, w).permute(0, 3, 1, 4, 2).reshape(rows * h, columns * w, c)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((grid * 255).round().byte().numpy()).save(path)


def small_text_encoder(width: int, vocab_size: int, length: int = PROMPT_LENGTH) -> CLIPTextModel:
    """An untrained CLIP text encoder of one layer, for prompts of ``length`` tokens.

    vocab_size: of a :func:`syncsde3d.models.embedded.word_tokenizer`, whose last two tokens start and end.
    """
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocab_size,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=1,
            num_attention_heads=4,
            max_position_embeddings=length,
            projection_dim=width,
            bos_token_id=vocab_size - 2,
            eos_token_id=vocab_size - 1,
            pad_token_id=vocab_size - 1,
        )
    )


def velocity_weight(alphas_cumprod: Tensor) -> Tensor:
    """Weight of the squared velocity error: min(snr + 1, 5) / (snr + 1), that is min(1, 5 (1 - alpha)).

    It stays 1 where overall colour is decided; the usual min-SNR weight is 0 at a zero signal-to-noise ratio.
    """
    return (5 * (1 - alphas_cumprod)).clamp(max=1.0)
