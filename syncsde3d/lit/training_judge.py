"""Trains the judge: pictures against the words of their facts, and against whole captions."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from syncsde3d.lit.training_common import AveragedTraining
from syncsde3d.lit.training_data import to_unit
from syncsde3d.models.judge import Judge
from syncsde3d.synthetic.captions import vocabulary
from syncsde3d.synthetic.materials import COLOURS, MATERIALS
from syncsde3d.synthetic.scenes import SCENES, TIMES
from syncsde3d.synthetic.shapes import SHAPES

#: What the judge is asked, and the answers it chooses from.
QUESTIONS: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "material": tuple(MATERIALS),
    "subject": (*SHAPES, *SCENES),
    "time": TIMES,
}


def answers(subjects: list[str]) -> dict[str, Tensor]:
    """The right answer to each question per picture [b], as an index; -1 where the question does not apply.

    subjects: facts joined by "|", as :func:`syncsde3d.synthetic.pictures.as_item` gives them.
    """
    facts = [text.split("|") for text in subjects]
    said = {
        "colour": [f[1] for f in facts],
        "material": [f[2] for f in facts],
        "subject": [f[0] or f[4] for f in facts],
        "time": [f[5] for f in facts],
    }
    return {
        key: torch.tensor([QUESTIONS[key].index(word) if word else -1 for word in words])
        for key, words in said.items()
    }


def roughened(images: Tensor) -> Tensor:
    """Half of the pictures softened by up to 4 x 4 pixels, all a little noisy: a person sees past both."""
    amount = torch.rand(2, len(images), 1, 1, 1, device=images.device)
    soft = F.interpolate(F.avg_pool2d(images, 4), images.shape[-2:], mode="bilinear")
    images = torch.lerp(images, soft, (2 * amount[0] - 1).clamp(min=0))
    return images + 0.1 * amount[1] * torch.randn_like(images)


class JudgeTraining(AveragedTraining):
    """Contrastive training of the judge.

    start: folder to continue from.
    """

    def __init__(
        self,
        start: str | None = None,
        lr: float = 2e-3,
        warmup: int = 50,
        decay: float = 0.99,
        minutes: float | None = None,
    ) -> None:
        super().__init__(lr, warmup, decay, minutes)
        self.save_hyperparameters()
        judge = Judge.from_pretrained(start).float() if start else Judge(vocabulary())
        self.take(judge.to(memory_format=torch.channels_last))  # pyright: ignore

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        images = F.interpolate(to_unit(batch["image"]), (self.net.size,) * 2, mode="bilinear", antialias=True)
        images = roughened(images)
        vectors = self.net.encode_images(images)
        scale = self.net.log_scale.clamp(max=4.0).exp()
        captions = self.net.encode_texts(batch["caption"])
        logits = scale * vectors @ captions.T
        target = torch.arange(len(images), device=self.device)
        loss = 0.15 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
        for key, truth in answers(batch["subject"]).items():
            choice = scale * vectors @ self.net.encode_texts(QUESTIONS[key]).T
            truth = truth.to(self.device)
            if (truth >= 0).any():
                loss = loss + F.cross_entropy(choice, truth, ignore_index=-1, label_smoothing=0.02)
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        vectors = self.average.encode_images(to_unit(batch["image"]))
        for key, truth in answers(batch["subject"]).items():
            guess = (vectors @ self.average.encode_texts(QUESTIONS[key]).T).argmax(1).cpu()
            known = truth >= 0
            if known.any():
                right = (guess == truth)[known].float().mean()
                self.log(key, right, prog_bar=True, batch_size=int(known.sum()))

    def export(self, folder: Path) -> None:
        """Write the averaged judge, float16."""
        copy.deepcopy(self.average).half().save_pretrained(folder)
