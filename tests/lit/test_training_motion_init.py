"""Where the training of MDM starts."""

from __future__ import annotations

import torch

from syncsde3d.lit.training_motion_init import principal, start_well
from syncsde3d.motion.mdm import MDM


def test_principal_directions_are_those_of_most_variance() -> None:
    torch.manual_seed(0)
    turned = torch.linalg.qr(torch.randn(9, 9)).Q
    rows = torch.randn(5000, 9) * torch.tensor([5.0, 4, 3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]) @ turned
    basis = principal(rows, 3)
    torch.testing.assert_close(basis @ basis.T, torch.eye(3), atol=1e-5, rtol=0)
    torch.testing.assert_close((basis @ turned[:3].T).abs(), torch.eye(3), atol=0.05, rtol=0)


def test_a_fresh_network_gives_poses_back_and_hears_the_text() -> None:
    """Before training: the output points where the input does, and depends on the text in every frame."""
    torch.manual_seed(0)
    states = torch.randn(400, 6) @ torch.randn(6, 263)  # six degrees of freedom
    network = MDM(latent_dim=64, layers=3, heads=2, ff=64, text_dim=16, dropout=0).eval()
    x, t = states[None, :90], torch.tensor([10])
    text = torch.randn(2, 1, 16)

    def measure() -> tuple[float, float]:
        with torch.no_grad():
            one, other = (network(x, t, part) for part in text)
        likeness = torch.cosine_similarity(one, x, dim=-1).mean()
        return float(likeness), float((one - other).norm(dim=-1).mean() / one.norm(dim=-1).mean())

    before = measure()
    start_well(network, states)
    likeness, heard = measure()
    assert abs(before[0]) < 0.2
    assert likeness > 0.6
    assert heard > 2 * before[1]
