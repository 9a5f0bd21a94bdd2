"""Trains the motion judge: windows of motions against the classes of their actions and against captions."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from syncsde3d.lit.training_common import AveragedTraining
from syncsde3d.lit.training_motion_data import MotionDataModule
from syncsde3d.models.motion_judge import MotionJudge
from syncsde3d.motion.captions import class_of, vocabulary


class MotionJudgeTraining(AveragedTraining):
    """Classification of windows, and contrastive training against the captions of all actions.

    start: folder to continue from. width: channels of its convolutions. noise: standard deviation of what is
    added to the features, in theirs.
    """

    def __init__(
        self,
        start: str | None = None,
        width: int = 96,
        noise: float = 0.1,
        lr: float = 1e-3,
        warmup: int = 50,
        decay: float = 0.99,
        minutes: float | None = None,
    ) -> None:
        super().__init__(lr, warmup, decay, minutes)
        self.save_hyperparameters()
        self.start, self.width, self.noise = start, width, noise
        if start:
            judge = MotionJudge.from_pretrained(start, torch_dtype=torch.float32)
            self.take(judge)

    def configure_model(self) -> None:
        """Build the judge, once the data have told vocabulary, classes and statistics."""
        data: MotionDataModule = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        self.captions = data.captions
        if self.start or hasattr(self, "net"):
            return
        classes = sorted({class_of(action) for action in data.captions})
        judge = MotionJudge(vocabulary(data.captions), classes, self.width)
        judge.mean.copy_(data.mean)
        judge.std.copy_(data.std)
        self.take(judge)

    def classes_of(self, actions: list[str]) -> Tensor:
        """The index of each action's class."""
        return torch.tensor([self.net.classes.index(class_of(a)) for a in actions], device=self.device)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        features = batch["features"]
        spread = self.noise * torch.rand(len(features), 1, 1, device=self.device) * self.net.std
        vectors = self.net.encode_windows(features + spread * torch.randn_like(features))
        truth = self.classes_of(batch["action"])
        loss = F.cross_entropy(self.net.classify(vectors), truth, label_smoothing=0.05)
        scale = self.net.log_scale.clamp(max=4.0).exp()
        logits = scale * vectors @ self.net.encode_texts(batch["caption"]).T
        same = truth[:, None] == truth
        target = same / same.sum(1, keepdim=True)
        loss = loss + 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
        self.log("loss", loss, prog_bar=True, batch_size=len(features))
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        vectors, truth = self.average.encode_windows(batch["features"]), self.classes_of(batch["action"])
        actions = sorted(self.captions)
        texts = self.average.encode_texts([self.captions[action][0] for action in actions])
        said = self.classes_of(actions)[(vectors @ texts.T).argmax(1)]
        guess = self.average.classify(vectors).argmax(1)
        for name, value in (("class", guess), ("caption", said)):
            self.log(f"val_{name}", (value == truth).float().mean(), prog_bar=True, batch_size=len(truth))

    def export(self, folder: Path) -> None:
        """Write the averaged judge, float16."""
        copy.deepcopy(self.average).half().save_pretrained(folder)
