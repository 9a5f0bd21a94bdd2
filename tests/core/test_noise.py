"""Streams of randomness: which they depend on, and which not."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys

import torch

from syncsde3d.core import NoiseSource


def test_first_values_are_fixed_for_all_time():
    """Computed once by a few lines of hashlib and torch: results may never change from version to version."""
    source = NoiseSource(7, "boot")
    digest = hashlib.sha256(b"7\0boot\0initial/3").digest()[:8]
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big") % 2**63)
    expected = torch.randn(4, generator=generator)
    assert torch.equal(source.initial(3, (4,)), expected)
    torch.testing.assert_close(source.initial(3, (4,)), torch.tensor(FIRST), rtol=1e-6, atol=1e-6)


FIRST = [1.3526433, -1.8852304, -1.0945896, -0.4672973]


def test_another_process_draws_the_same():
    code = "from syncsde3d.core import NoiseSource as N; print(N(1, 'a').initial(0, (3,)).tolist())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(NoiseSource(1, "a").initial(0, (3,)).tolist())


def test_streams_do_not_depend_on_the_order_of_asking():
    forwards = [NoiseSource(1).initial(i, (2, 3)) for i in range(4)]
    backwards = [NoiseSource(1).initial(i, (2, 3)) for i in (3, 2, 1, 0)][::-1]
    assert torch.equal(torch.stack(forwards), torch.stack(backwards))
    source = NoiseSource(1)
    first = torch.randn(5, generator=source.stepping(0))
    torch.randn(100, generator=source.stepping(1))
    assert torch.equal(first, torch.randn(5, generator=source.stepping(0)))


def test_seed_item_patch_and_purpose_each_give_another_stream():
    sources = [NoiseSource(seed, item) for seed in (0, 1, 11) for item in ("", "a", "1")]
    draws = [source.initial(patch, (8,)) for source in sources for patch in (0, 1, 10, "wide")]
    draws += [torch.randn(8, generator=source.stepping(patch)) for source in sources for patch in (0, 1, 10)]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(draws, 2))


def test_streams_are_unit_gaussian_and_uncorrelated():
    a, b = (NoiseSource(0).initial(i, (200_000,), torch.float64) for i in (0, 1))
    assert a.dtype == torch.float64
    assert abs(float(a.mean())) < 0.01
    assert abs(float(a.std()) - 1) < 0.01
    assert abs(float((a * b).mean())) < 0.01
