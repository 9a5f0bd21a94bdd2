"""Masked images: shares of each place, the paper's step, and a background that stays the background."""

from __future__ import annotations

import itertools

import pytest
import torch
from core.tasks import mixture, unit_noise
from tasks.by_hand import SOURCE, ddim, dpm, equation_7, explicit

from syncsde3d.core import Sampler, Sync
from syncsde3d.core.strategies import agree
from syncsde3d.models.closed_form import GaussianMixture, StationaryGaussian, power_law
from syncsde3d.tasks.masked_image import MaskedImageTask

SIZE = 8
SHAPE = (2, SIZE, SIZE)


def square(top: int, left: int, size: int, soft: bool = False) -> torch.Tensor:
    """A mask [8, 8], 1 inside; soft: a half on its last row."""
    mask = torch.zeros(SIZE, SIZE, dtype=torch.float64)
    mask[top : top + size, left : left + size] = 1
    if soft:
        mask[top + size - 1, left : left + size] = 0.5
    return mask


HARD, SOFT = [square(2, 2, 4)], [square(2, 2, 4, soft=True)]
TWO = [square(1, 1, 4, soft=True), square(3, 3, 4, soft=True)]


@pytest.mark.parametrize("regions", [HARD, SOFT])
def test_one_region_is_the_papers_table(regions):
    """i=2: y^1 where B; i=3: B y^1 + (1-B) y^2 everywhere."""
    task, background, y = MaskedImageTask(regions), 1 - regions[0], unit_noise(3, *SHAPE)
    assert (task.count, task.lookback) == (3, 2)
    assert [task.needs(i) for i in range(3)] == [(), (0,), (0, 1)]
    second, third = (task.reference(i, dict(enumerate(y[:i]))) for i in (1, 2))
    torch.testing.assert_close(second, torch.where(background > 0, y[0], 0))
    torch.testing.assert_close(third, background * y[0] + (1 - background) * y[1])
    assert torch.equal(task.precision(1)[0], background)
    assert torch.equal(task.precision(2)[0], torch.ones(SIZE, SIZE))
    assert torch.equal(task.assemble(y), y[2])


def test_regions_share_every_place_the_later_on_top():
    task, y = MaskedImageTask(TWO), unit_noise(4, *SHAPE)
    expected = [(1 - TWO[0]) * (1 - TWO[1]), TWO[0] * (1 - TWO[1]), TWO[1]]
    torch.testing.assert_close(task.shares[:, 0], torch.stack(expected))
    torch.testing.assert_close(task.shares.sum(0)[0], torch.ones(SIZE, SIZE).double())
    whole = sum(share * state for share, state in zip(expected, y[:3], strict=True))
    torch.testing.assert_close(task.reference(3, dict(enumerate(y))), whole)
    known = expected[0] + expected[1]
    assert torch.equal(task.precision(2)[0], known)
    mean = (expected[0] * y[0] + expected[1] * y[1]) / known
    torch.testing.assert_close(task.reference(2, dict(enumerate(y))), torch.where(known > 0, mean, 0))


def test_references_are_linear():
    task, (x, y) = MaskedImageTask(TWO), unit_noise(2, 4, *SHAPE)
    references = [task.references(z) for z in (2 * x - 3 * y, x, y)]
    torch.testing.assert_close(references[0], 2 * references[1] - 3 * references[2])


@pytest.mark.parametrize("regions", [HARD, SOFT])
def test_the_explicit_rule_is_equation_7(regions):
    model, noise, background = mixture(3, SHAPE), unit_noise(3, *SHAPE), 1 - regions[0]
    rules = [
        lambda y: (y[0], background),
        lambda y: (background * y[0] + (1 - background) * y[1], torch.ones(())),
    ]
    found = explicit().lockstep(MaskedImageTask(regions), model, noise, SOURCE)
    torch.testing.assert_close(found, equation_7(model, noise, rules), rtol=1e-5, atol=1e-5)
    apart = [lambda y: (y[0], torch.zeros(()))] * 2
    assert (equation_7(model, noise, apart) - found).abs().max() > 0.1


@pytest.mark.parametrize("regions", [HARD, SOFT, TWO])
def test_no_strength_is_independent_and_streaming_is_lockstep(regions):
    task, count = MaskedImageTask(regions), len(regions) + 2
    model, noise = mixture(count, SHAPE), unit_noise(count, *SHAPE)
    free = [
        Sampler(dpm(), 6, sync).lockstep(task, model, noise, SOURCE)
        for sync in (Sync(inv_lambda=0.0), Sync("independent"))
    ]
    assert torch.equal(*free)
    together = Sampler(dpm(), 6).lockstep(task, model, noise, SOURCE)
    one_by_one = [t.result for t in Sampler(dpm(), 6).stream(task, model, lambda i: noise[i], SOURCE)]
    torch.testing.assert_close(torch.stack(one_by_one), together, rtol=1e-5, atol=1e-5)
    assert (together - free[0]).abs().max() > 0.1


def three_colours(deviation: float = 0.2) -> GaussianMixture:
    """The background is -1, the region +1, and the whole wants to be 0 but would as soon be either."""
    mean = torch.tensor([-1.0, 1.0, 0.0]).double().reshape(1, 3, 1, 1, 1).expand(1, 3, *SHAPE)
    variance = torch.tensor([1.0, 1.0, 25.0]).double().reshape(1, 3, 1, 1, 1).expand_as(mean) * deviation**2
    return GaussianMixture(mean, variance, torch.ones(1))


def gaps(inv_lambda: float, ramp="linear", regions=HARD) -> tuple[float, float]:
    """RMS difference of the whole from the background outside the region, and from the region inside."""
    task = MaskedImageTask(regions)
    sampler = Sampler(ddim(), 50, Sync(inv_lambda=inv_lambda, ramp=ramp))
    y = sampler.lockstep(task, three_colours(), unit_noise(3, *SHAPE), SOURCE)
    inside = (regions[0] == 1).expand(SHAPE)
    outside = (regions[0] == 0).expand(SHAPE)
    return (
        float((y[2] - y[0])[outside].pow(2).mean().sqrt()),
        float((y[2] - y[1])[inside].pow(2).mean().sqrt()),
    )


def test_a_strongly_tied_whole_is_the_background_outside_and_the_region_inside():
    weak, paper, strong = gaps(1.0), gaps(5.0), gaps(100.0, "constant")
    for place in (0, 1):
        assert weak[place] > paper[place] > strong[place]
        assert paper[place] < 0.4 * gaps(0.0)[place]
        assert strong[place] < 0.005  # where the whole, left alone, deviates by 1


def test_a_soft_precision_pulls_softly():
    """Where B is a half the region's own trajectory ends between those where it is 0 and 1."""
    mask = torch.zeros(SIZE, SIZE, dtype=torch.float64)
    mask[2:4], mask[4:6], mask[6:] = 0.5, 0.9, 1.0
    sampler = Sampler(ddim(), 50, Sync(inv_lambda=1.0, share_noise=False))
    second = sampler.lockstep(MaskedImageTask([mask]), three_colours(), unit_noise(3, *SHAPE), SOURCE)[1]
    means = [float(second[:, rows].mean()) for rows in (slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8))]
    assert means == sorted(means)
    assert min(b - a for a, b in itertools.pairwise(means)) > 0.03, means


def test_a_hard_mask_keeps_the_noise_white():
    """Variance and neighbours of the whole's reference while all three are still noise."""
    size = 64
    mask = torch.zeros(size, size)
    mask[16:48, 16:48] = 1
    y = unit_noise(3, 16, size, size)
    reference = MaskedImageTask([mask]).reference(2, dict(enumerate(y)))
    assert reference.var() == pytest.approx(1, abs=0.02)
    assert reference.diff(dim=-1).var() / 2 == pytest.approx(1, abs=0.02)


def test_regions_keep_the_statistics_of_a_natural_field():
    spectrum = power_law(32, 32, 2.0, 0.5)[None].double()
    model = StationaryGaussian(torch.zeros(3, 1, 32, 32).double(), spectrum, torch.eye(1).double())
    mask = torch.zeros(32, 32)
    mask[8:24, 8:24] = 1
    noise = unit_noise(3, 1, 32, 32)
    whole = Sampler(dpm(), 20).lockstep(MaskedImageTask([mask]), model, noise, SOURCE)[2]
    alone = Sampler(dpm(), 20, Sync("independent")).lockstep(MaskedImageTask([mask]), model, noise, SOURCE)[2]
    assert whole.std() == pytest.approx(float(alone.std()), rel=0.25)
    jumps = whole[0].diff(dim=-1).abs()
    assert jumps[8:24, [7, 23]].mean() < 1.5 * jumps.mean()  # no edge along the mask


def test_agreement():
    task, values = MaskedImageTask(TWO), unit_noise(4, *SHAPE)
    shares = task.shares
    mean = (values[3] + sum(shares[k] * values[k] for k in range(3))) / 2
    torch.testing.assert_close(agree(task, values, "mean"), mean.expand_as(values))
    best = agree(task, values, "best")
    for y in range(SIZE):
        for x in range(SIZE):
            owner = max(range(3), key=lambda k: float(shares[k, 0, y, x]))
            assert torch.equal(best[:, :, y, x], values[owner, :, y, x].expand(4, -1))


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ([], "regions: expected at least one mask"),
        ([torch.zeros(1, 8, 8)], r"regions\[0\]: expected a mask \[h, w\], got \(1, 8, 8\)"),
        ([torch.zeros(8, 8), torch.zeros(8, 9)], r"regions\[1\]: expected a mask of shape \(8, 8\)"),
        ([torch.full((8, 8), 255.0)], r"regions\[0\]: expected values in \[0, 1\]"),
        ([torch.full((8, 8), torch.nan)], r"regions\[0\]: expected values in \[0, 1\]"),
    ],
)
def test_errors_name_the_region(regions, message):
    with pytest.raises(ValueError, match=message):
        MaskedImageTask(regions)
