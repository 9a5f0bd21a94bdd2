"""Text to human motion: MDM with a text encoder, released checkpoints and the embedded one, as denoisers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from diffusers import DDIMScheduler
from torch import Tensor
from transformers import AutoTokenizer, CLIPTextModelWithProjection, PreTrainedTokenizerBase

from syncsde3d.core.protocols import Prediction, Step
from syncsde3d.models.embedded import unknown_words
from syncsde3d.models.motion_net import MotionNet
from syncsde3d.models.pretrained import Source, find_model, load_component, no_loading_bars, weights_revision
from syncsde3d.models.text import tokenize
from syncsde3d.motion.features import FEATURES
from syncsde3d.motion.mdm import MDM, load_mdm, load_statistics

if TYPE_CHECKING:
    from jaxtyping import Float, Int

#: The text encoder of the released checkpoints.
CLIP = "openai/clip-vit-base-patch32"
#: Tokens per prompt, with the start and end tokens, that the released checkpoints were trained with.
RELEASED_PROMPT_LENGTH = 22
#: Longest motion of the training data, frames.
FRAMES_MAX = 196


class MotionDiffusion:
    """A text-to-motion model; :meth:`condition` makes a denoiser of it.

    network: the MDM. mean, std: [263], of the features. scheduler: with the noise schedule of the training.
    frames_max: longest motion that it was trained on. revisions: where each part came from.

    Args:
        text_encoder: transformers' CLIPTextModelWithProjection. tokenizer: its own.
        prompt_length: tokens per prompt that are read. known_only: words that the tokenizer has no token for
            are left out of prompts, with a warning.

    Raises:
        ValueError: the text encoder's features do not fit the network.
    """

    prediction: Prediction = "sample"

    def __init__(
        self,
        network: MDM,
        mean: Float[Tensor, " 263"],
        std: Float[Tensor, " 263"],
        text_encoder: Any,
        tokenizer: PreTrainedTokenizerBase,
        scheduler: Any,
        prompt_length: int = RELEASED_PROMPT_LENGTH,
        known_only: bool = False,
        frames_max: int = FRAMES_MAX,
        revisions: Mapping[str, str | None] | None = None,
    ) -> None:
        width = text_encoder.config.projection_dim
        if width != network.text_dim:
            raise ValueError(f"text_encoder: the model expects {network.text_dim} features, it gives {width}")
        self.network, self.mean, self.std = network, mean, std
        self.text_encoder, self.tokenizer = text_encoder, tokenizer
        self.scheduler = scheduler
        self.prompt_length, self.known_only, self.frames_max = prompt_length, known_only, frames_max
        self.revisions: Mapping[str, str | None] = revisions or {}

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        device: torch.device | str = "cpu",
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        text_encoder: str = CLIP,
        mean: str | Path | None = None,
        std: str | Path | None = None,
    ) -> MotionDiffusion:
        """A released MDM checkpoint or its folder, or a folder that this package trained.

        A released checkpoint needs ``args.json``, and ``Mean.npy`` and ``Std.npy`` of its training data
        beside it or given as ``mean`` and ``std``, and a ``text_encoder``: a local folder or a Hub id, with
        ``@revision`` if wanted.

        Raises:
            ValueError: not found, damaged, or of another kind; one line.
        """
        kind, path = getattr(torch, dtype), Path(model).expanduser()
        if (path / "config.json").is_file():
            return cls._embedded(path, torch.device(device), kind)
        network, settings = load_mdm(path)
        folder = path if path.is_dir() else path.parent
        means, stds = load_statistics(folder, mean, std)
        encoder, tokenizer, revision = _load_clip(text_encoder, kind)
        return cls(
            network.to(device, kind),
            means.to(device),
            stds.to(device),
            encoder.to(device),
            tokenizer,
            motion_scheduler(settings.diffusion_steps, settings.noise_schedule),
            revisions={str(model): weights_revision(path), text_encoder: revision},
        )

    @classmethod
    def _embedded(cls, folder: Path, device: torch.device, dtype: torch.dtype) -> MotionDiffusion:
        source = find_model(str(folder), ["*"])
        net = load_component(MotionNet, source, "", torch.float32)
        return cls(
            net.mdm.to(device, dtype),
            net.mean.to(device),
            net.std.to(device),
            net.text_encoder.to(device, dtype),
            load_tokenizer(folder),
            motion_scheduler(net.config["diffusion_steps"]),
            net.config["prompt_length"],
            known_only=True,
            revisions={source.name: source.revision},
        )

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.network.output_process["poseFinal"].weight.device  # pyright: ignore

    def encode(self, features: Float[Tensor, "*b 263"]) -> Float[Tensor, "*b 263"]:
        """HumanML3D features to normalised ones, the sampler's states."""
        return (features - self.mean.to(features)) / self.std.to(features)

    def decode(self, states: Float[Tensor, "*b 263"]) -> Float[Tensor, "*b 263"]:
        """Normalised features to HumanML3D features."""
        return states * self.std.to(states) + self.mean.to(states)

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str]) -> Float[Tensor, "n width"]:
        """Pooled text features, float32. What does not fit is cut off, and a warning names it.

        The encoder is causal and its feature is read at the end token: what pads a prompt, zeros up to 77
        tokens in the released code, is of no effect.
        """
        texts = [self._known(prompt) if self.known_only else prompt for prompt in prompts]
        tokens = tokenize(self.tokenizer, texts, self.prompt_length)
        return self.text_encoder(tokens.input_ids.to(self.device)).text_embeds.float()

    def _known(self, prompt: str) -> str:
        """The prompt without the words that the embedded model was not trained on."""
        unknown = unknown_words(prompt, self.tokenizer)
        if unknown:
            warnings.warn(
                f"the embedded motion model does not know {', '.join(unknown)} in '{prompt}': it was trained "
                "on a small vocabulary of everyday actions; see its model card",
                stacklevel=3,
            )
        words = re.findall(r"[\w']+|[,-]", prompt.lower())  # with the punctuation of the captions
        return " ".join(word for word in words if word not in unknown)

    def condition(
        self, prompts: Sequence[str], lengths: Sequence[int], guidance_scale: float = 2.5
    ) -> ConditionedMotionDiffusion:
        """The denoiser of n segments, each with its prompt and its number of frames.

        Raises:
            ValueError: none, lists of different lengths, or a length that the model was not trained on.
        """
        if not prompts or len(prompts) != len(lengths):
            raise ValueError(f"prompts: expected one for each of {len(lengths)} lengths, got {len(prompts)}")
        for length in lengths:
            if not 1 <= length <= self.frames_max:
                raise ValueError(f"lengths: expected 1 to {self.frames_max} frames, got {length}")
        unique = list(dict.fromkeys(prompts))
        text = self.encode_prompts(unique)[[unique.index(prompt) for prompt in prompts]]
        return ConditionedMotionDiffusion(self.network, guidance_scale, text, tuple(lengths))


@dataclass(frozen=True)
class ConditionedMotionDiffusion:
    """An MDM with n segments' conditions: a :class:`~syncsde3d.core.protocols.Denoiser`.

    text: features [n, width]. lengths: frames of each segment. A state may have more frames than its segment:
    they are neither read nor predicted (0). A segment always runs at its own length, so that a row does not
    depend on the others.
    """

    network: MDM
    guidance_scale: float
    text: Float[Tensor, "n width"]
    lengths: tuple[int, ...]
    prediction: Prediction = "sample"

    @torch.no_grad()
    def predict(
        self,
        y: Float[Tensor, "b frames 263"],
        step: Step,
        patch: Int[Tensor, " b"],
        branch: Int[Tensor, " b"],
    ) -> Float[Tensor, "b frames 263"]:
        """The clean motions, in the type of ``y``; see :class:`~syncsde3d.core.protocols.Denoiser`."""
        lengths = [self.lengths[i] for i in patch.tolist()]
        if y.ndim != 3 or y.shape[-1] != FEATURES or max(lengths) > y.shape[1]:
            raise ValueError(
                f"y: expected [b, at least {max(lengths)} frames, {FEATURES}], got {tuple(y.shape)}"
            )
        weight = self.network.embed_text.weight
        text = self.text[patch.to(self.text.device)] * (branch == 0)[:, None].to(self.text)
        x, text = y.to(weight), text.to(weight)
        t = step.t.to(weight.device).round().long().expand(len(y))
        out = torch.zeros_like(y)
        for length in sorted(set(lengths)):
            rows = [i for i, n in enumerate(lengths) if n == length]
            out[rows, :length] = self.network(x[rows, :length], t[rows], text[rows]).to(y)
        return out


def motion_scheduler(steps: int, schedule: Literal["cosine", "linear"] = "cosine") -> DDIMScheduler:
    """The noise schedule that a motion model was trained with, on ``steps`` native steps.

    Sampling starts at the very last step; clean motions are predicted, and never clipped. "linear" goes from
    1e-4 to 0.02, scaled by 1000 / steps.
    """
    kind = {"cosine": "squaredcos_cap_v2", "linear": "linear"}[schedule]
    return DDIMScheduler(
        num_train_timesteps=steps,
        beta_schedule=kind,
        beta_start=1e-4 * 1000 / steps,
        beta_end=0.02 * 1000 / steps,
        prediction_type="sample",
        clip_sample=False,
        timestep_spacing="trailing",
    )


def _load_clip(name: str, dtype: torch.dtype) -> tuple[Any, PreTrainedTokenizerBase, str | None]:
    """CLIP's text encoder with its projection, its tokenizer and its revision.

    OpenAI's own repository has no safetensors: then its plain tensors are read, which cannot run code.
    """

    def find(weights: str) -> Source:
        return find_model(name, ["*.json", "merges.txt", weights], option="text_encoder", instead=[CLIP])

    source = find("*.safetensors")
    tokenizer = load_tokenizer(source.folder, "")
    if any(source.folder.glob("*.safetensors")):
        return load_component(CLIPTextModelWithProjection, source, "", dtype), tokenizer, source.revision
    folder = find("pytorch_model.bin").folder
    try:
        with no_loading_bars():
            encoder = CLIPTextModelWithProjection.from_pretrained(
                folder, dtype=dtype, use_safetensors=False, weights_only=True, local_files_only=True
            )
    except Exception as error:  # the library raises a dozen kinds here, none documented
        first = str(error).splitlines()[0]
        raise ValueError(f"text_encoder: '{name}' cannot be read from '{folder}': {first}") from error
    return encoder.eval().requires_grad_(False), tokenizer, source.revision


def load_tokenizer(folder: str | Path, subfolder: str = "tokenizer") -> PreTrainedTokenizerBase:
    """The tokenizer in a model's folder. ValueError, naming the folder, if there is none."""
    path = Path(folder) / subfolder
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"no tokenizer can be read from '{path}': {str(error).splitlines()[0]}") from error
