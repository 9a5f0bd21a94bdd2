"""MDM, the motion diffusion network (Tevet et al., ICLR 2023), and its checkpoints as they were released.

Names of modules are those of the released checkpoints, which load without conversion.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

Architecture = Literal["trans_enc", "trans_dec"]
#: Attention heads and width of the feed-forward layers of every released checkpoint; no file states them.
RELEASED_HEADS, RELEASED_FF = 4, 1024
#: Length of the positional table: at most this many frames, and diffusion steps.
POSITIONS = 5000


@dataclass(frozen=True)
class MDMSettings:
    """What ``args.json`` says about a checkpoint; a field that it lacks has the released code's default.

    arch: frames pass a transformer encoder, behind one token of time and text, or a decoder that attends to
    that token. emb_trans_dec: the decoder's frames stand behind the token too. layers, latent_dim: of the
    transformer. diffusion_steps, noise_schedule: of the training. dataset: "humanml" has 263 features.
    """

    arch: Architecture = "trans_enc"
    emb_trans_dec: bool = False
    layers: int = 8
    latent_dim: int = 512
    diffusion_steps: int = 1000
    noise_schedule: Literal["cosine", "linear"] = "cosine"
    dataset: str = "humanml"


class _Positions(nn.Module):
    """The sinusoidal table ``pe`` [POSITIONS, 1, width]: sines in even columns, cosines in odd ones."""

    pe: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        angle = torch.arange(POSITIONS)[:, None] * torch.exp(
            torch.arange(0, width, 2) * (-math.log(10000.0) / width)
        )
        table = torch.stack((angle.sin(), angle.cos()), -1).reshape(POSITIONS, 1, width)
        self.register_buffer("pe", table, persistent=False)


class _Time(nn.Module):
    """An MLP on the row of the positional table that the timestep names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sequence_pos_encoder = _Positions(width)
        self.time_embed = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Int[Tensor, " b"]) -> Float[Tensor, "b width"]:
        return self.time_embed(self.sequence_pos_encoder.pe[t, 0])


class MDM(nn.Module):
    """Predicts the clean motion (x0) of a noisy one, given the timestep and a text feature.

    Args:
        features: per frame. latent_dim: width, even. layers, heads, ff: of the transformer.
        text_dim: width of text features. arch, emb_trans_dec: see :class:`MDMSettings`.
        dropout: in training.
    """

    def __init__(
        self,
        features: int = 263,
        latent_dim: int = 512,
        layers: int = 8,
        heads: int = RELEASED_HEADS,
        ff: int = RELEASED_FF,
        text_dim: int = 512,
        arch: Architecture = "trans_enc",
        emb_trans_dec: bool = False,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.features, self.text_dim = features, text_dim
        self.has_token = arch == "trans_enc" or emb_trans_dec
        common: dict[str, Any] = {
            "dim_feedforward": ff,
            "dropout": dropout,
            "activation": "gelu",
            "batch_first": True,
        }
        self.input_process = nn.ModuleDict({"poseEmbedding": nn.Linear(features, latent_dim)})
        self.sequence_pos_encoder = _Positions(latent_dim)
        if arch == "trans_enc":
            layer = nn.TransformerEncoderLayer(latent_dim, heads, **common)
            self.seqTransEncoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        elif arch == "trans_dec":
            layer = nn.TransformerDecoderLayer(latent_dim, heads, **common)
            self.seqTransDecoder = nn.TransformerDecoder(layer, layers)
        else:
            raise ValueError(f"arch: expected one of {', '.join(get_args(Architecture))}, got '{arch}'")
        self.arch: Architecture = arch
        self.embed_timestep = _Time(latent_dim)
        self.embed_text = nn.Linear(text_dim, latent_dim)
        self.output_process = nn.ModuleDict({"poseFinal": nn.Linear(latent_dim, features)})
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "b frames features"],
        t: Int[Tensor, " b"],
        text: Float[Tensor, "b text"],
        padding: Bool[Tensor, "b frames"] | None = None,
    ) -> Float[Tensor, "b frames features"]:
        """Clean motion, normalised like ``x``.

        t: native timesteps of the training. text: zeros for the unconditional branch; the bias of the text's
        linear layer stays. padding: True where a frame is none; released models were trained without.
        """
        token = (self.embed_timestep(t) + self.embed_text(text))[:, None]
        sequence = self.input_process["poseEmbedding"](x)
        if self.has_token:
            sequence = torch.cat((token, sequence), 1)
        if self.has_token and padding is not None:
            padding = nn.functional.pad(padding, (1, 0), value=False)
        sequence = self.dropout(sequence + self.sequence_pos_encoder.pe[: sequence.shape[1], 0])
        if self.arch == "trans_enc":
            out = self.seqTransEncoder(sequence, src_key_padding_mask=padding)
        else:
            out = self.seqTransDecoder(sequence, token, tgt_key_padding_mask=padding)
        return self.output_process["poseFinal"](out[:, int(self.has_token) :])


def load_mdm(path: str | Path, features: int = 263) -> tuple[MDM, MDMSettings]:
    """A released checkpoint, in evaluation mode and float32, and its settings.

    path: a checkpoint ``model000475000.pt`` (or ``.safetensors``) with ``args.json`` beside it, or its
    folder, of which the last checkpoint is taken. Of files with averaged weights those are taken; a text
    encoder's weights in the file are ignored.

    Raises:
        ValueError: in one line: no such files, unreadable, or of another kind or architecture.
    """
    file = _checkpoint(Path(path).expanduser())
    settings = _settings(file.parent / "args.json")
    state = _state(file)
    if settings.dataset != "humanml":
        raise ValueError(
            f"checkpoint '{file}': expected dataset 'humanml', args.json says '{settings.dataset}'"
        )
    width = state.get("input_process.poseEmbedding.weight")
    if width is not None and width.shape[-1] != features:
        raise ValueError(
            f"checkpoint '{file}': expected {features} features per frame, got {width.shape[-1]}"
        )
    text = state.get("embed_text.weight")
    with torch.device("meta"):
        network = _network(settings, features, text)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    _check(file, settings, {name: tuple(v.shape) for name, v in state.items()}, expected)
    network.load_state_dict({name: value.float() for name, value in state.items()}, assign=True)
    network.sequence_pos_encoder = _Positions(settings.latent_dim)
    network.embed_timestep.sequence_pos_encoder = _Positions(settings.latent_dim)
    return network.eval().requires_grad_(False), settings


def load_statistics(
    folder: str | Path,
    mean: str | Path | None = None,
    std: str | Path | None = None,
    features: int = 263,
) -> tuple[Float[Tensor, " features"], Float[Tensor, " features"]]:
    """Mean and standard deviation that the model's features were normalised with.

    folder: where ``Mean.npy`` and ``Std.npy`` are looked for, unless ``mean`` and ``std`` name files.

    Raises:
        ValueError: files are absent, unreadable, of another size, or a deviation is not positive; one line.
    """
    files = (Path(mean or Path(folder) / "Mean.npy"), Path(std or Path(folder) / "Std.npy"))
    if missing := [f"'{file}'" for file in files if not file.is_file()]:
        raise ValueError(
            f"mean, std: no {' and no '.join(missing)}; copy Mean.npy and Std.npy of the training data "
            "(HumanML3D) beside the checkpoint"
        )
    values = []
    for file in files:
        try:
            value = torch.from_numpy(np.load(file, allow_pickle=False)).float()
        except Exception as error:  # NumPy's reader fails in many ways
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"'{file}' cannot be read as an array: {reason}") from error
        if value.shape != (features,):
            raise ValueError(f"'{file}': expected {features} numbers, got shape {tuple(value.shape)}")
        values.append(value)
    if not bool((values[1] > 0).all()):
        raise ValueError(f"'{files[1]}': expected positive deviations, got {float(values[1].min()):g}")
    return values[0], values[1]


def _checkpoint(path: Path) -> Path:
    """The checkpoint itself: of a folder, the one of the most training steps."""
    if path.is_file():
        return path
    found = [f for f in path.glob("model*") if f.suffix in (".pt", ".safetensors")]
    if not found:
        raise ValueError(f"checkpoint: no file '{path}' and no model*.pt or model*.safetensors in it")
    return max(found, key=lambda f: (int("".join(re.findall(r"\d+", f.stem)) or 0), f.name))


def _settings(path: Path) -> MDMSettings:
    """Settings from ``args.json``. What changes the network in ways not supported here is an error."""
    try:
        args = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"checkpoint: cannot read its settings '{path}': {str(error).splitlines()[0]}"
        ) from error
    if not isinstance(args, Mapping):
        raise ValueError(f"'{path}': expected an object of settings, got {type(args).__name__}")
    supported = {
        "text_encoder_type": ("clip",),
        "emb_policy": ("add",),
        "context_len": (0,),
        "pred_len": (0,),
        "multi_target_cond": (False,),
        "unconstrained": (False,),
        "cond_mode": ("text",),
        "arch": get_args(Architecture),
        "noise_schedule": ("cosine", "linear"),
    }
    for name, values in supported.items():
        if args.get(name, values[0]) not in values:
            raise ValueError(
                f"'{path}': {name} {args[name]!r} is not supported, expected {' or '.join(map(repr, values))}"
            )
    return MDMSettings(**{f.name: args[f.name] for f in fields(MDMSettings) if f.name in args})


def _state(file: Path) -> dict[str, Tensor]:
    """Tensors of the network alone: averaged ones if there are, without text encoder and positions."""
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle's, zip's and safetensors' own kinds
        raise ValueError(f"checkpoint '{file}' cannot be read: {str(error).splitlines()[0]}") from error
    for nested in ("model_avg", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(nested), Mapping):
            state = state[nested]
            break
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"checkpoint '{file}': expected a dictionary of tensors, got {type(state).__name__}")
    return {
        name: value
        for name, value in state.items()
        if not name.startswith("clip_model.") and not name.endswith("sequence_pos_encoder.pe")
    }


def _network(settings: MDMSettings, features: int, text: Tensor | None) -> MDM:
    return MDM(
        features,
        settings.latent_dim,
        settings.layers,
        text_dim=512 if text is None else text.shape[-1],
        arch=settings.arch,
        emb_trans_dec=settings.emb_trans_dec,
    )


def _check(file: Path, settings: MDMSettings, found: dict[str, tuple], expected: dict[str, tuple]) -> None:
    """Raise when names or shapes differ, naming the first that does."""
    about = (
        f"checkpoint '{file}' is no {settings.arch} of {settings.layers} layers, width {settings.latent_dim}"
    )
    for name, shape in expected.items():
        if name not in found:
            raise ValueError(f"{about}: it lacks '{name}' {list(shape)}")
        if found[name] != shape:
            raise ValueError(f"{about}: '{name}' is {list(found[name])}, expected {list(shape)}")
    for name, shape in found.items():
        if name not in expected:
            raise ValueError(f"{about}: it has '{name}' {list(shape)} besides")
