"""A small image-text model that scores pictures against words, for measuring only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float


class _Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut, then half the resolution and twice the channels."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.a, self.na = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.b, self.nb = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.down, self.nd = nn.Conv2d(width, out, 3, 2, 1, bias=False), nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.nb(self.b(F.relu(self.na(self.a(x)))))
        return F.relu(self.nd(self.down(F.relu(x))))


class _Tower(nn.Module):
    """Residual levels, each at half the resolution; pictures are summed up by what their levels hold.

    every: sum up every level, else the last alone.
    """

    def __init__(self, width: int, levels: int, every: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        widths = [width * 2**i for i in range(levels + 1)]
        self.levels = nn.Sequential(*(_Residual(a, b) for a, b in zip(widths, widths[1:], strict=False)))
        self.every, self.features = every, 2 * (sum(widths[1:]) if every else widths[-1])

    def maps(self, images: Tensor) -> list[Tensor]:
        """What each level holds, [b, c, h, w]."""
        x, held = self.stem(images), []
        for level in self.levels:
            held.append(x := level(x))
        return held

    def forward(self, images: Tensor) -> Tensor:
        pooled = [pool for x in self.maps(images) for pool in (x.mean((2, 3)), x.amax((2, 3)))]
        return torch.cat(pooled if self.every else pooled[-2:], 1)


class Judge(ModelMixin, ConfigMixin):
    """Image encoder (two residual convolutional towers) and text encoder (a bag of words) into one space.

    One tower sees shapes: half the resolution, its coarsest features. The other sees materials, which are
    statistics of small patterns: full resolution, the features of all levels.

    vocabulary: the words it knows. shape_width, material_width: channels of the towers' first levels.
    embed: of the common space. size: pixels squared that pictures are resized to.
    """

    @register_to_config
    def __init__(
        self,
        vocabulary: Sequence[str] = (),
        shape_width: int = 24,
        material_width: int = 20,
        embed: int = 128,
        size: int = 128,
    ) -> None:
        super().__init__()
        self.index = {word: i + 1 for i, word in enumerate(vocabulary)}
        self.size = size
        self.shape, self.material = _Tower(shape_width, 3, False), _Tower(material_width, 3, True)
        features = self.shape.features + self.material.features
        self.image_head = nn.Sequential(
            nn.Linear(features, 512), nn.ReLU(inplace=True), nn.Linear(512, embed)
        )
        self.words = nn.EmbeddingBag(len(self.index) + 1, embed, mode="sum", padding_idx=0)
        self.text_head = nn.Sequential(nn.Linear(embed, 256), nn.ReLU(inplace=True), nn.Linear(256, embed))
        self.log_scale = nn.Parameter(torch.tensor(2.7))

    def encode_images(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b e"]:
        """Unit vectors for pictures in [-1, 1] of any size."""
        if images.shape[-1] != self.size or images.shape[-2] != self.size:
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        features = torch.cat((self.shape(F.avg_pool2d(images, 2)), self.material(images)), 1)
        return F.normalize(self.image_head(features).float(), dim=-1)

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "k e"]:
        """Unit vectors for texts; words outside the vocabulary are ignored."""
        rows = [
            [self.index.get(word, 0) for word in re.findall(r"[\w']+", text.lower())] or [0] for text in texts
        ]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self.log_scale.device)
        vectors = self.words(ids)
        return F.normalize((vectors + self.text_head(vectors)).float(), dim=-1)

    def forward(self, images: Float[Tensor, "b 3 h w"], texts: Sequence[str]) -> Float[Tensor, "b k"]:
        """Logits of each picture for each text; their softmax over a list of words is the judge's opinion."""
        return self.log_scale.exp() * self.encode_images(images) @ self.encode_texts(texts).T
