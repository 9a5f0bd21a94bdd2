"""Diffusion in pixels: DeepFloyd IF's first stage (64 px) and second (256 px), and pictures to enlarge.

The second stage and the upscaler after it see, beside their own state, the smaller picture of the same patch,
enlarged and noised to a known level. Stages predict their variance too; it is left unused, as the core's
samplers draw fresh noise by a fixed rule. The pipelines' watermarks and safety checkers are not part of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from syncsde3d.core.protocols import Prediction, Step
from syncsde3d.models.pretrained import find_parts, load_parts, load_scheduler, to_dtype
from syncsde3d.models.prompt_encoder import PromptEncoder
from syncsde3d.models.schedulers import trained_prediction
from syncsde3d.models.text import Prompt, check_prompts, mix, texts

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Precision = Literal["float32", "float16", "bfloat16"]

#: Stages I and II of the published cascade; both gated: their licence has to be accepted on the hub.
DEEPFLOYD = ("DeepFloyd/IF-I-XL-v1.0", "DeepFloyd/IF-II-L-v1.0")


class PixelDiffusion:
    """One stage of a cascade in pixels; :meth:`condition` makes a denoiser of it.

    guided, channels, size, factor, scheduler, prediction, revisions: see
    :class:`~syncsde3d.models.images.ImageModel`; the scheduler has a fixed variance. enlarges: whether it
    wants smaller pictures to enlarge, as the second stage does.

    Args:
        unet: diffusers' UNet2DConditionModel; its channels beyond the state's are ignored.
        text: makes prompts embeddings; stages may share one.
        scheduler: a diffusers scheduler. noising: one with the noise schedule of the smaller pictures.
    """

    guided = True
    channels, factor = 3, 1

    def __init__(
        self,
        unet: Any,
        text: PromptEncoder,
        scheduler: Any,
        noising: Any = None,
        revisions: Mapping[str, str | None] | None = None,
    ) -> None:
        self.unet, self.text, self.noising = unet, text, noising
        if str(scheduler.config.get("variance_type")).startswith("learned"):
            scheduler = type(scheduler).from_config(scheduler.config, variance_type="fixed_small")
        self.scheduler = scheduler
        self.revisions: Mapping[str, str | None] = revisions or {}
        self.prediction: Prediction = trained_prediction(scheduler)
        self.size: int = unet.config.sample_size
        self.enlarges: bool = unet.config.in_channels == 2 * self.channels
        if unet.config.in_channels not in (3, 6) or self.enlarges != (noising is not None):
            raise ValueError(
                f"model: its U-Net takes {unet.config.in_channels} channels, expected 3, or 6 to enlarge"
            )

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        dtype: Precision = "float32",
        device: torch.device | str = "cpu",
        text: PromptEncoder | None = None,
        keep_text: bool = False,
    ) -> PixelDiffusion:
        """A stage from a local folder in diffusers' layout, or a Hub id, with ``@revision`` if wanted.

        text: another stage's, to encode prompts once for all; None takes the folder's own text encoder.
        keep_text: keep that encoder in memory, else it is read anew for each lot of new prompts (T5 is larger
        than all the stages together). Raises ValueError, in one line: not found, gated, damaged, ...
        """
        import diffusers

        precision = to_dtype(dtype)
        needed = ("unet", "scheduler") if text else ("unet", "scheduler", "text_encoder", "tokenizer")
        second = "image_noising_scheduler"
        source = find_parts(model, needed, "DeepFloyd IF", (second,), instead=DEEPFLOYD)
        parts = load_parts(source, {"unet": diffusers.UNet2DConditionModel}, precision, device)
        noising = load_scheduler(source, second) if source.has(second) else None
        text = text or PromptEncoder(source, precision, torch.device(device), keep_text)
        return cls(**parts, text=text, noising=noising, revisions={source.name: source.revision})

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.unet.device

    def encode_prompts(self, prompts: Sequence[str]) -> Float[Tensor, "n tokens width"]:
        """The text encoder's last hidden states; once for each text, however often it is asked for."""
        return self.text(prompts)

    def condition(
        self,
        prompts: Sequence[Prompt],
        negative_prompts: Sequence[str] | None = None,
        guidance_scale: float = 7.0,
        pictures: Float[Tensor, "n 3 h w"] | None = None,
        noise: Float[Tensor, "n 3 H W"] | None = None,
        noise_level: int = 50,
    ) -> ConditionedPixels:
        """The denoiser of n patches, each with its prompt (or blend of two) and negative prompt (default "").

        For the second stage: pictures in [-1, 1] of the same patches, unit Gaussian noise of the size to
        come, and the level of the noising schedule to which it hides the enlarged pictures.

        Raises ValueError for lists of different lengths, or pictures where none or some are expected.
        """
        negatives = check_prompts(prompts, negative_prompts)
        if self.enlarges != (pictures is not None) or self.enlarges != (noise is not None):
            expected = "expected with their noise, to enlarge" if self.enlarges else "this stage takes none"
            raise ValueError(f"pictures: {expected}")
        low = None
        if pictures is not None and noise is not None:
            large = torch.nn.functional.interpolate(
                pictures.to(self.device), noise.shape[-2:], mode="bilinear", align_corners=True
            )
            low = noised(self.noising, large, noise, noise_level)
        rows = [*prompts, *negatives]
        text = mix(rows, self.encode_prompts(texts(rows))).unflatten(0, (2, -1))
        return ConditionedPixels(self.unet, self.prediction, guidance_scale, text, low, noise_level)

    def encode(
        self, images: Float[Tensor, "n 3 h w"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "n 3 h w"]:
        """Images in [-1, 1] are states already."""
        return images

    def decode(self, latents: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """States are images already."""
        return latents


def noised(scheduler: Any, pictures: Tensor, noise: Tensor, level: int) -> Tensor:
    """Pictures at a level of a scheduler's training schedule. ValueError for a level that it has not."""
    count = scheduler.config.num_train_timesteps
    if not 0 <= level < count:
        raise ValueError(f"noise_level: expected 0 to {count - 1}, got {level}")
    if len(noise) != len(pictures):
        raise ValueError(f"noise: expected {len(pictures)} for as many pictures, got {len(noise)}")
    return scheduler.add_noise(pictures, noise.to(pictures), torch.tensor([level] * len(pictures)))


@dataclass(frozen=True)
class ConditionedPixels:
    """A U-Net with n patches' conditions: a :class:`~syncsde3d.core.protocols.Denoiser`.

    text: embeddings of the prompts and of the negative prompts. low: noised pictures of the states' size
    that go in beside the states, or None; noise_level: theirs.
    """

    unet: Any
    prediction: Prediction
    guidance_scale: float
    text: Float[Tensor, "2 n tokens width"]
    low: Float[Tensor, "n 3 h w"] | None
    noise_level: int

    @torch.no_grad()
    def predict(
        self, y: Float[Tensor, "b c h w"], step: Step, patch: Int[Tensor, " b"], branch: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """The U-Net's output without its variances, in the type of ``y``."""
        unet = self.unet
        text = self.text[branch.to(self.text.device), patch.to(self.text.device)].to(unet.device, unet.dtype)
        x, level = y.to(unet.device, unet.dtype), None
        if self.low is not None:
            x = torch.cat((x, self.low[patch.to(self.low.device)].to(x)), 1)
            level = torch.full((len(y),), self.noise_level, device=x.device)
        output = unet(x, step.t.to(unet.device), text, class_labels=level, return_dict=False)[0]
        return output[:, : y.shape[1]].to(y)
