"""An exact image model that understands colour and texture words, with no weights at all.

Its pictures are Gaussian: the mean is the prompt's colour on the object, lit from above by the surface's
normals, and the deviations have the power spectrum of the prompt's texture word. It stands wherever a
texturing model stands, which makes it the model of tests and of machines that have nothing else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from syncsde3d.models.closed_form import StationaryGaussian, power_law

#: sRGB in [0, 1] of colour words.
COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.75, 0.12, 0.10),
    "orange": (0.90, 0.48, 0.10),
    "yellow": (0.90, 0.80, 0.20),
    "green": (0.20, 0.55, 0.22),
    "blue": (0.15, 0.30, 0.70),
    "purple": (0.48, 0.22, 0.60),
    "pink": (0.92, 0.55, 0.68),
    "brown": (0.45, 0.28, 0.16),
    "black": (0.10, 0.10, 0.11),
    "gray": (0.50, 0.50, 0.50),
    "grey": (0.50, 0.50, 0.50),
    "white": (0.92, 0.92, 0.90),
    "gold": (0.80, 0.62, 0.22),
    "silver": (0.74, 0.76, 0.78),
    "turquoise": (0.20, 0.70, 0.68),
}
#: (spectral slope, lightness deviation, colour deviation) of texture words; steep spectra are smooth.
TEXTURES: dict[str, tuple[float, float, float]] = {
    "plain": (2.5, 0.02, 0.01),
    "leather": (1.6, 0.07, 0.02),
    "marble": (2.6, 0.20, 0.03),
    "stone": (1.8, 0.14, 0.02),
    "rust": (2.2, 0.12, 0.08),
    "camouflage": (3.0, 0.16, 0.10),
    "wool": (1.2, 0.10, 0.02),
    "moss": (2.0, 0.12, 0.08),
}
_DEFAULT_COLOR, _DEFAULT_TEXTURE = (0.62, 0.58, 0.54), (2.2, 0.10, 0.03)
#: Lightness first, then two directions of colour.
_BASIS = torch.tensor(
    [
        [1 / math.sqrt(3), 1 / math.sqrt(3), 1 / math.sqrt(3)],
        [1 / math.sqrt(2), 0.0, -1 / math.sqrt(2)],
        [1 / math.sqrt(6), -2 / math.sqrt(6), 1 / math.sqrt(6)],
    ]
)


class ClosedFormTexture:
    """A texturing model made of :class:`~syncsde3d.models.closed_form.StationaryGaussian` views.

    size: height and width of a view in pixels; the model works on pixels, so latents are images.
    """

    revisions: Mapping[str, str | None] = {"closed-form": None}
    guided = False
    control: Literal["depth", "normal"] = "normal"
    channels, factor = 3, 1

    def __init__(self, size: int = 192) -> None:
        from diffusers import DDIMScheduler

        self.size = size
        self.scheduler: Any = DDIMScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False
        )

    def condition(
        self, prompts: Sequence[str], *, control_images: Tensor | None = None, **unused: object
    ) -> StationaryGaussian:
        """One exact Gaussian per view.

        prompts: one per view; all share the texture of the first. control_images: normals in camera space,
        as pictures [n, 3, h, w] in [0, 1], 0.5 where there is no surface.
        """
        n = len(prompts)
        shade = torch.full((n, 1, self.size, self.size), 0.8)
        if control_images is not None:
            shade = 0.62 + 0.38 * control_images[:, 1:2].clamp(0, 1)
        color = torch.tensor([_look_up(p, COLORS, _DEFAULT_COLOR) for p in prompts])[:, :, None, None]
        slope, light, hue = _look_up(prompts[0], TEXTURES, _DEFAULT_TEXTURE)
        h, w = shade.shape[-2:]
        deviations = (2 * math.sqrt(3) * light, 2 * hue, 2 * hue)
        spectrum = torch.stack([power_law(h, w, slope, deviation) for deviation in deviations])
        return StationaryGaussian(mean=2 * (color * shade.to(color)) - 1, spectrum=spectrum, basis=_BASIS)

    def encode(self, images: Tensor, **unused: object) -> Tensor:
        """Images are their own latents [n, 3, h, w] in [-1, 1]."""
        return images

    def decode(self, latents: Tensor, **unused: object) -> Tensor:
        """Images [n, 3, h, w] in [-1, 1]."""
        return latents.clamp(-1, 1)


def _look_up(prompt: str, table: dict[str, tuple], default: tuple) -> tuple:
    """The entry of the first word of the prompt that the table knows."""
    words = re.findall(r"[a-z]+", prompt.lower())
    return next((table[word] for word in words if word in table), default)
