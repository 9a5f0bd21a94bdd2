"""A small motion-text model that scores motions against words, for measuring only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from syncsde3d.motion.captions import words
from syncsde3d.motion.features import ROTATIONS, VELOCITIES

if TYPE_CHECKING:
    from jaxtyping import Float, Int

#: Longest window that is judged at once, frames.
WINDOW = 64


class _Block(nn.Module):
    """Two convolutions over time around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.a = nn.Conv1d(width, width, 5, padding=2)
        self.b = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(F.gelu(self.a(F.gelu(self.norm(x)))))


class MotionJudge(ModelMixin, ConfigMixin):
    """Motion encoder (a convolutional net over time) and text encoder (a bag of words) into one space.

    It sees windows of :data:`WINDOW` frames of root motion, local positions and velocities; a longer motion's
    vector is the mean over its windows. Attributes: classes, the names of what :meth:`classify` tells apart;
    mean, std [263], of the features.

    Args:
        vocabulary: the words it knows. classes: of actions. width: channels. embed: of the common space.
    """

    mean: Tensor
    std: Tensor

    @register_to_config
    def __init__(
        self,
        vocabulary: Sequence[str] = (),
        classes: Sequence[str] = (),
        width: int = 96,
        embed: int = 96,
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.index = {word: i + 1 for i, word in enumerate(vocabulary)}
        inputs = ROTATIONS.start + VELOCITIES.stop - VELOCITIES.start
        self.stem = nn.Conv1d(inputs, width, 5, 2, 2)
        self.early, self.down = _Block(width), nn.Conv1d(width, 2 * width, 4, 2, 1)
        self.late = nn.Sequential(_Block(2 * width), _Block(2 * width))
        self.head = nn.Sequential(nn.Linear(4 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, embed))
        self.classifier = nn.Linear(embed, len(self.classes))
        self.words = nn.EmbeddingBag(len(self.index) + 1, embed, mode="sum", padding_idx=0)
        self.text_head = nn.Sequential(nn.Linear(embed, 2 * embed), nn.GELU(), nn.Linear(2 * embed, embed))
        self.log_scale = nn.Parameter(torch.tensor(2.7))
        self.register_buffer("mean", torch.zeros(263))
        self.register_buffer("std", torch.ones(263))

    def encode_windows(self, features: Float[Tensor, "b t 263"]) -> Float[Tensor, "b e"]:
        """Unit vectors of windows of HumanML3D features, 8 to :data:`WINDOW` frames long."""
        x = ((features - self.mean) / self.std).clamp(-8, 8).to(self.stem.weight)
        x = torch.cat((x[..., : ROTATIONS.start], x[..., VELOCITIES]), -1).mT
        x = self.late(self.down(self.early(self.stem(x))))
        return F.normalize(self.head(torch.cat((x.mean(2), x.amax(2)), 1)).float(), dim=-1)

    def encode_motion(self, features: Float[Tensor, "t 263"]) -> Float[Tensor, " e"]:
        """Unit vector of a motion of t >= 8 frames. ValueError for a shorter one."""
        return F.normalize(self.encode_windows(_windows(features)).mean(0), dim=-1)

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "k e"]:
        """Unit vectors for texts; words outside the vocabulary are ignored."""
        rows = [[self.index.get(word, 0) for word in words(text)] or [0] for text in texts]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self.log_scale.device)
        vectors = self.words(ids)
        return F.normalize((vectors + self.text_head(vectors)).float(), dim=-1)

    def classify(self, vectors: Float[Tensor, "b e"]) -> Float[Tensor, "b k"]:
        """Logits of each of ``classes`` for motions' unit vectors."""
        return self.classifier(10 * vectors.to(self.classifier.weight)).float()

    def forward(self, features: Float[Tensor, "t 263"], texts: Sequence[str]) -> Float[Tensor, " k"]:
        """Logits of a motion for each text; their softmax over a list of texts is the judge's opinion."""
        return self.log_scale.exp() * self.encode_texts(texts) @ self.encode_motion(features)


def _windows(features: Float[Tensor, "t 263"]) -> Float[Tensor, "n w 263"]:
    """Overlapping windows, evenly spread from the first frame to the last."""
    t = len(features)
    if features.ndim != 2 or t < 8:
        raise ValueError(f"features: expected [t, 263] with t >= 8, got {tuple(features.shape)}")
    length = min(t, WINDOW)
    count = 1 if t == length else 1 + -(-(t - length) // (WINDOW // 2))
    starts: Int[Tensor, " n"] = torch.linspace(0, t - length, count).round().long()
    return torch.stack([features[s : s + length] for s in starts.tolist()])
