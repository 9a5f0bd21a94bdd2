"""Where the training of a small MDM starts: it passes poses through, and frames look at the text's token.

From torch's usual random weights thousands of steps go by before it does either.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from syncsde3d.motion.mdm import MDM

if TYPE_CHECKING:
    from jaxtyping import Float

#: Share of the usual size of what each layer adds at first, and of the pose that the output layer gives back.
BRANCH, PASSED = 0.5, 0.6
#: Length of the mark that tells the token from frames, and how many nats more it is worth to a looking head.
MARK, NATS = 8.0, 5.0
#: How much more than usual a prompt changes the token.
TEXT = 4.0


@torch.no_grad()
def start_well(network: MDM, states: Float[Tensor, "n features"]) -> None:
    """Set a fresh network's weights, given normalised frames of the training data (at least 300)."""
    basis = principal(states, network.embed_text.out_features)
    into, back = network.input_process["poseEmbedding"], network.output_process["poseFinal"]
    into.weight.copy_(basis)  # pyright: ignore
    into.bias.zero_()  # pyright: ignore
    back.weight.copy_(PASSED * basis.T)  # pyright: ignore
    back.bias.zero_()  # pyright: ignore
    width = network.embed_text.out_features
    mark = torch.nn.functional.normalize(torch.randn(width), dim=0)
    network.embed_text.weight.mul_(TEXT)
    network.embed_text.bias.add_(MARK * mark)
    for layer in network.seqTransEncoder.layers:
        attention = layer.self_attn
        layer.linear2.weight.mul_(BRANCH)  # pyright: ignore
        look(attention, mark)  # pyright: ignore[reportArgumentType]


def look(attention: torch.nn.MultiheadAttention, mark: Float[Tensor, " width"]) -> None:
    """Make the first head attend to what carries the mark."""
    width, size = attention.embed_dim, attention.head_dim
    query, key = slice(0, size), slice(width, width + size)
    ask = torch.nn.functional.normalize(torch.randn(size), dim=0)
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    marked = math.sqrt(width) * 0.6  # of a normalised token, along the mark
    weight[query] *= 0.1
    bias[query] = ask * NATS * math.sqrt(size)
    weight[key] = 0.1 * weight[key] + torch.outer(ask, mark) / marked


def principal(states: Float[Tensor, "n features"], count: int) -> Float[Tensor, "count features"]:
    """The first principal directions, about 0; orthonormal rows."""
    rows = states.double()
    _, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    return vectors.flip(1)[:, :count].T.float()
