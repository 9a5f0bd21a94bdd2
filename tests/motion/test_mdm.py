"""MDM against attention written out, torch's own layers, and checkpoints in the released layout."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import save_file
from torch import Tensor, nn

from syncsde3d.motion.mdm import MDM, load_mdm, load_statistics


def released_shapes(
    width: int = 512, layers: int = 8, features: int = 263, text: int = 512, decoder: bool = False
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a released text-to-motion checkpoint."""
    ff = 1024
    shapes = {
        "input_process.poseEmbedding.weight": (width, features),
        "input_process.poseEmbedding.bias": (width,),
        "sequence_pos_encoder.pe": (5000, 1, width),
    }
    attentions = ("self_attn", "multihead_attn") if decoder else ("self_attn",)
    for n in range(layers):
        layer = f"{'seqTransDecoder' if decoder else 'seqTransEncoder'}.layers.{n}."
        for attention in attentions:
            shapes |= {
                f"{layer}{attention}.in_proj_weight": (3 * width, width),
                f"{layer}{attention}.in_proj_bias": (3 * width,),
                f"{layer}{attention}.out_proj.weight": (width, width),
                f"{layer}{attention}.out_proj.bias": (width,),
            }
        shapes |= {
            f"{layer}linear1.weight": (ff, width),
            f"{layer}linear1.bias": (ff,),
            f"{layer}linear2.weight": (width, ff),
            f"{layer}linear2.bias": (width,),
        }
        for norm in range(1, 2 + len(attentions)):
            shapes |= {f"{layer}norm{norm}.weight": (width,), f"{layer}norm{norm}.bias": (width,)}
    return shapes | {
        "embed_timestep.sequence_pos_encoder.pe": (5000, 1, width),
        "embed_timestep.time_embed.0.weight": (width, width),
        "embed_timestep.time_embed.0.bias": (width,),
        "embed_timestep.time_embed.2.weight": (width, width),
        "embed_timestep.time_embed.2.bias": (width,),
        "embed_text.weight": (width, text),
        "embed_text.bias": (width,),
        "output_process.poseFinal.weight": (features, width),
        "output_process.poseFinal.bias": (features,),
    }


def table(length: int, width: int) -> Tensor:
    """The positional table, one number at a time."""
    rows = [
        [(math.cos if c % 2 else math.sin)(p / 10000 ** ((c - c % 2) / width)) for c in range(width)]
        for p in range(length)
    ]
    return torch.tensor(rows)


def random_state(seed: int = 0, **sizes: Any) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in released_shapes(**sizes).items():
        if name.endswith(".pe"):
            state[name] = table(64, shape[-1])[:, None]  # never read
        else:
            scale = 0.02 if len(shape) == 1 else shape[-1] ** -0.5
            state[name] = scale * torch.randn(shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                state[name] += 1
    return state


def save_released(folder: Path, state: Any, name: str = "model000475000.pt", **args: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / name)
    (folder / "args.json").write_text(
        json.dumps({"dataset": "humanml", "layers": 2, "latent_dim": 32} | args)
    )
    np.save(folder / "Mean.npy", np.linspace(-1, 1, 263))
    np.save(folder / "Std.npy", np.linspace(0.5, 2, 263))
    return folder


def attention(state: dict[str, Tensor], name: str, query: Tensor, memory: Tensor, heads: int = 4) -> Tensor:
    """Multi-head attention of one sequence [t, width], one head and one frame at a time."""
    width = query.shape[1]
    weights = state[f"{name}.in_proj_weight"].split(width)
    biases = state[f"{name}.in_proj_bias"].split(width)
    q, k, v = (x @ w.T + b for x, w, b in zip((query, memory, memory), weights, biases, strict=True))
    out = torch.zeros_like(query)
    for h in range(heads):
        part = slice(h * width // heads, (h + 1) * width // heads)
        for i in range(len(query)):
            scores = k[:, part] @ q[i, part] / math.sqrt(width // heads)
            out[i, part] = torch.exp(scores - scores.logsumexp(0)) @ v[:, part]
    return out @ state[f"{name}.out_proj.weight"].T + state[f"{name}.out_proj.bias"]


def norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(1, keepdim=True)
    scaled = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def slow(
    state: dict[str, Tensor], x: Tensor, t: int, text: Tensor, arch: str = "trans_enc", token_in: bool = True
) -> Tensor:
    """The network on one motion [frames, 263], written out."""

    def linear(name: str, value: Tensor) -> Tensor:
        return value @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    width = state["embed_text.bias"].shape[0]
    pe = table(max(t, len(x)) + 1, width).to(x)
    hidden = linear("embed_timestep.time_embed.0", pe[t])
    token = linear("embed_timestep.time_embed.2", hidden / (1 + torch.exp(-hidden))) + linear(
        "embed_text", text
    )
    h = linear("input_process.poseEmbedding", x)
    if token_in:
        h = torch.cat((token[None], h))
    h = h + pe[: len(h)]
    layer = 0
    prefix = "seqTransEncoder" if arch == "trans_enc" else "seqTransDecoder"
    while (name := f"{prefix}.layers.{layer}") + ".linear1.bias" in state:
        h = norm(state, f"{name}.norm1", h + attention(state, f"{name}.self_attn", h, h))
        last = "norm2"
        if arch == "trans_dec":
            h = norm(state, f"{name}.norm2", h + attention(state, f"{name}.multihead_attn", h, token[None]))
            last = "norm3"
        inner = linear(f"{name}.linear1", h)
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        h = norm(state, f"{name}.{last}", h + linear(f"{name}.linear2", inner))
        layer += 1
    return linear("output_process.poseFinal", h[int(token_in) :])


def test_released_checkpoint_loads_as_it_is(tmp_path: Path) -> None:
    state = random_state()
    assert len(state) == 108
    clip = {"clip_model.token_embedding.weight": torch.zeros(3)}
    save_released(tmp_path, state | clip, layers=8, latent_dim=512)
    save_released(tmp_path, {}, "model000050000.pt", layers=8, latent_dim=512)  # an earlier one
    network, settings = load_mdm(tmp_path)
    assert sum(p.numel() for p in network.parameters()) == 17_880_327
    assert not network.training
    assert (settings.arch, settings.diffusion_steps, settings.noise_schedule) == ("trans_enc", 1000, "cosine")
    loaded = network.state_dict()
    assert set(loaded) == {name for name in state if not name.endswith(".pe")}
    assert all(torch.equal(loaded[name], state[name]) for name in loaded)
    x, text = torch.randn(1, 6, 263), torch.randn(1, 512)
    with torch.no_grad():
        ours = network(x, torch.tensor([731]), text)[0]
        zero = network(x, torch.tensor([0]), torch.zeros(1, 512))[0]
    torch.testing.assert_close(ours, slow(state, x[0], 731, text[0]), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(zero, slow(state, x[0], 0, torch.zeros(512)), atol=2e-5, rtol=1e-4)


def test_names_are_those_of_the_released_file(shared: Path) -> None:
    listed = shared.parent / "design" / "mdm_checkpoint_keys.tsv"
    if not listed.is_file():
        pytest.skip("the list of the released checkpoint's names is absent")
    rows = [line.split("\t") for line in listed.read_text().splitlines() if "\t" in line]
    expected = {name: tuple(json.loads(shape)) for name, shape, _ in rows if shape.startswith("[")}
    assert expected == released_shapes()


@pytest.mark.parametrize("token_in", [False, True])
def test_decoder_matches_the_slow_twin(tmp_path: Path, token_in: bool) -> None:
    state = random_state(width=32, layers=2, decoder=True)
    save_released(tmp_path, state, arch="trans_dec", emb_trans_dec=token_in)
    network, _ = load_mdm(tmp_path)
    x, text = torch.randn(1, 5, 263), torch.randn(1, 512)
    with torch.no_grad():
        ours = network(x, torch.tensor([30]), text)[0]
    torch.testing.assert_close(
        ours, slow(state, x[0], 30, text[0], "trans_dec", token_in), atol=2e-5, rtol=1e-4
    )


def test_encoder_is_torchs_own_frames_first() -> None:
    torch.manual_seed(0)
    network = MDM(latent_dim=32, layers=3, ff=64, text_dim=8).eval()
    plain = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, activation="gelu"), 3, None, False)
    plain.eval().load_state_dict(network.seqTransEncoder.state_dict())
    x, t, text = torch.randn(2, 7, 263), torch.tensor([3, 40]), torch.randn(2, 8)
    with torch.no_grad():
        pe = table(64, 32)
        token = network.embed_timestep.time_embed(pe[t]) + network.embed_text(text)
        h = torch.cat((token[:, None], network.input_process["poseEmbedding"](x)), 1) + pe[:8]
        expected = network.output_process["poseFinal"](plain(h.transpose(0, 1))[1:].transpose(0, 1))
        torch.testing.assert_close(network(x, t, text), expected, atol=1e-5, rtol=1e-4)


def test_padding_frames_have_no_effect() -> None:
    torch.manual_seed(0)
    network = MDM(latent_dim=32, layers=2, ff=64, text_dim=8).eval()
    x, t, text = torch.randn(1, 9, 263), torch.tensor([3]), torch.randn(1, 8)
    padding = torch.arange(9)[None] >= 6
    with torch.no_grad():
        masked = network(x, t, text, padding)[:, :6]
        torch.testing.assert_close(masked, network(x[:, :6], t, text), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["averaged", "nested", "safetensors", "file"])
def test_every_kind_of_file(tmp_path: Path, kind: str) -> None:
    state, other = random_state(1, width=32, layers=2), random_state(2, width=32, layers=2)
    nested = {"averaged": {"model": other, "model_avg": state}, "nested": {"model": state}}
    folder = save_released(tmp_path, nested.get(kind, state))
    if kind == "safetensors":
        (folder / "model000475000.pt").unlink()
        save_file(state, folder / "model000475000.safetensors")
    network, _ = load_mdm(folder / "model000475000.pt" if kind == "file" else folder)
    name = "embed_text.weight"
    assert torch.equal(network.state_dict()[name], state[name])


def test_settings_of_a_fifty_step_model(tmp_path: Path) -> None:
    args = {"diffusion_steps": 50, "noise_schedule": "cosine", "text_encoder_type": "clip", "seed": 10}
    save_released(tmp_path, random_state(width=32, layers=2), **args)
    assert load_mdm(tmp_path)[1].diffusion_steps == 50


def no_checkpoint(folder: Path) -> None:
    (folder / "model000475000.pt").unlink()


def no_args(folder: Path) -> None:
    (folder / "args.json").unlink()


def bert(folder: Path) -> None:
    save_released(folder, random_state(width=32, layers=2), text_encoder_type="bert")


def recurrent(folder: Path) -> None:
    save_released(folder, random_state(width=32, layers=2), arch="gru")


def kit(folder: Path) -> None:
    save_released(folder, random_state(width=32, layers=2, features=251), dataset="kit")


def short_of_a_layer(folder: Path) -> None:
    save_released(folder, random_state(width=32, layers=2), layers=3)


def layer_too_many(folder: Path) -> None:
    save_released(folder, random_state(width=32, layers=2), layers=1)


def narrow(folder: Path) -> None:
    save_released(folder, random_state(width=32, layers=2), latent_dim=64)


def other_features(folder: Path) -> None:
    save_released(folder, random_state(width=32, layers=2, features=251))


def damaged(folder: Path) -> None:
    (folder / "model000475000.pt").write_bytes(b"no checkpoint")


def pickled(folder: Path) -> None:
    (folder / "model000475000.pt").write_bytes(b"cbuiltins\neval\n(S'1'\ntR.")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (no_checkpoint, r"no model\*\.pt"),
        (no_args, "args.json"),
        (bert, "text_encoder_type 'bert' is not supported, expected 'clip'"),
        (recurrent, "arch 'gru' is not supported"),
        (kit, "dataset 'humanml', args.json says 'kit'"),
        (short_of_a_layer, r"lacks 'seqTransEncoder.layers.2.self_attn.in_proj_weight' \[96, 32\]"),
        (layer_too_many, r"has 'seqTransEncoder.layers.1.self_attn.in_proj_weight' \[96, 32\] besides"),
        (narrow, r"'input_process.poseEmbedding.weight' is \[32, 263\], expected \[64, 263\]"),
        (other_features, "expected 263 features per frame, got 251"),
        (damaged, "cannot be read"),
        (pickled, "cannot be read"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(
    tmp_path: Path, harm: Callable[[Path], None], message: str
) -> None:
    save_released(tmp_path, random_state(width=32, layers=2))
    harm(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        load_mdm(tmp_path)
    assert "\n" not in str(caught.value)


def test_statistics_beside_the_checkpoint_or_given(tmp_path: Path) -> None:
    folder = save_released(tmp_path / "a", {})
    mean, std = load_statistics(folder)
    np.testing.assert_allclose(mean, np.linspace(-1, 1, 263), rtol=1e-6)
    (folder / "Std.npy").rename(tmp_path / "elsewhere.npy")
    with pytest.raises(ValueError, match=re.escape(str(folder / "Std.npy"))):
        load_statistics(folder)
    assert torch.equal(load_statistics(folder, std=tmp_path / "elsewhere.npy")[1], std)
    np.save(folder / "Std.npy", np.ones(251))
    with pytest.raises(ValueError, match=r"expected 263 numbers, got shape \(251,\)"):
        load_statistics(folder)
    np.save(folder / "Std.npy", np.zeros(263))
    with pytest.raises(ValueError, match="expected positive deviations, got 0"):
        load_statistics(folder)


def test_gradient_reaches_every_weight() -> None:
    torch.manual_seed(0)
    network = MDM(latent_dim=16, layers=1, heads=2, ff=32, text_dim=8)
    F.mse_loss(
        network(torch.randn(2, 4, 263), torch.tensor([1, 2]), torch.randn(2, 8)), torch.randn(2, 4, 263)
    ).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []
