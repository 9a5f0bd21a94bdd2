"""Ambiguous images: the paper's step for every view, and pictures that agree once turned back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from core.tasks import mixture, unit_noise
from tasks.by_hand import SOURCE, ddim, dpm, equation_7, explicit

from syncsde3d.core import Sampler, Sync
from syncsde3d.core.operators import make_view
from syncsde3d.core.strategies import agree
from syncsde3d.models.closed_form import StationaryGaussian, power_law
from syncsde3d.tasks.ambiguous_image import AmbiguousImageTask

SIZE = 8
SHAPE = (2, SIZE, SIZE)


def views(*names):
    return [make_view(name, SIZE) for name in ("identity", *names)]


def test_references_turn_back_and_on():
    """From upright to a quarter turn, from there to upside down, by numpy."""
    task, y = AmbiguousImageTask(views("rotate_90", "flip_vertical")), unit_noise(3, *SHAPE)
    states = dict(enumerate(y))
    first, second = (x.numpy() for x in y[:2])
    assert (task.count, task.lookback) == (3, 1)
    assert [task.needs(i) for i in range(3)] == [(), (0,), (1,)]
    np.testing.assert_array_equal(task.reference(1, states).numpy(), np.rot90(first, axes=(1, 2)))
    back = np.rot90(second, -1, axes=(1, 2))
    np.testing.assert_array_equal(task.reference(2, states).numpy(), back[:, ::-1])
    assert float(task.precision(1)) == 1


def test_the_explicit_rule_is_equation_7():
    model, noise = mixture(3, SHAPE), unit_noise(3, *SHAPE)
    rules = [
        lambda y: (y[0].flip(-2), torch.ones(())),
        lambda y: (y[1].flip(-2).rot90(2, (-2, -1)), torch.ones(())),
    ]
    task = AmbiguousImageTask(views("flip_vertical", "rotate_180"))
    found = explicit().lockstep(task, model, noise, SOURCE)
    torch.testing.assert_close(found, equation_7(model, noise, rules), rtol=1e-5, atol=1e-5)
    apart = [lambda y: (y[0], torch.zeros(()))] * 2
    assert (equation_7(model, noise, apart) - found).abs().max() > 0.1


def test_no_strength_is_independent_and_streaming_is_lockstep():
    task = AmbiguousImageTask(views("skew", "patches"))
    model, noise = mixture(3, SHAPE), unit_noise(3, *SHAPE)
    free = [
        Sampler(dpm(), 6, sync).lockstep(task, model, noise, SOURCE)
        for sync in (Sync(inv_lambda=0.0), Sync("independent"))
    ]
    assert torch.equal(*free)
    together = Sampler(dpm(), 6).lockstep(task, model, noise, SOURCE)
    one_by_one = [t.result for t in Sampler(dpm(), 6).stream(task, model, lambda i: noise[i], SOURCE)]
    torch.testing.assert_close(torch.stack(one_by_one), together, rtol=1e-5, atol=1e-5)
    assert (together - free[0]).abs().max() > 0.1


def test_one_view_is_the_free_sampler():
    model, noise = mixture(1, SHAPE), unit_noise(1, *SHAPE)
    alone = Sampler(ddim(), 6).lockstep(AmbiguousImageTask(views()), model, noise, SOURCE)
    free = Sampler(ddim(), 6, Sync("independent")).lockstep(AmbiguousImageTask(views()), model, noise, SOURCE)
    assert torch.equal(alone, free)


def natural(count: int, size: int) -> StationaryGaussian:
    """What is seen in each view: a field of natural statistics about a mean of its own, which may give."""
    spectrum = power_law(size, size, 2.0, 0.5)[None].double()
    spectrum[:, 0, 0] = spectrum.max()
    mean = torch.tensor([0.3, -0.3, 0.0][:count]).double().reshape(-1, 1, 1, 1).expand(-1, 1, size, size)
    return StationaryGaussian(mean, spectrum, torch.eye(1).double())


def disagreement(inv_lambda: float, names: tuple[str, ...], ramp="linear") -> float:
    """RMS difference between neighbours in the chain once turned back."""
    kinds = [make_view(name, 16) for name in ("identity", *names)]
    task, noise = AmbiguousImageTask(kinds), unit_noise(len(kinds), 1, 16, 16)
    sync = Sync(inv_lambda=inv_lambda, ramp=ramp)
    y = Sampler(ddim(), 30, sync).lockstep(task, natural(len(kinds), 16), noise, SOURCE)
    upright = torch.stack([view.inverse().apply(state) for view, state in zip(kinds, y, strict=True)])
    assert torch.equal(task.assemble(y), upright[-1])
    return float((upright[1:] - upright[:-1]).pow(2).mean().sqrt())


@pytest.mark.parametrize(
    "names", [("rotate_90",), ("flip_vertical",), ("inner_circle",), ("rotate_180", "jigsaw")]
)
def test_views_agree_once_turned_back(names):
    found = [disagreement(inv_lambda, names) for inv_lambda in (0.0, 1.0, 5.0)]
    assert found == sorted(found, reverse=True)
    assert found[2] < 0.4 * found[0]
    assert disagreement(20.0, names, "constant") < 0.1


@pytest.mark.parametrize("name", ["rotate_90", "skew", "inner_circle", "patches", "jigsaw"])
def test_references_of_noise_are_white_noise(name):
    task, y = AmbiguousImageTask([make_view(n, 64) for n in ("identity", name)]), unit_noise(2, 3, 64, 64)
    reference = task.reference(1, {0: y[0]})
    assert torch.equal(reference.flatten().sort().values, y[0].flatten().sort().values)
    assert reference.diff(dim=-1).var() / 2 == pytest.approx(1, abs=0.05)


def test_agreement_is_in_the_upright_picture():
    task, values = AmbiguousImageTask(views("rotate_90", "skew")), unit_noise(3, *SHAPE)
    upright = [view.inverse().apply(value) for view, value in zip(task.views, values, strict=True)]
    mean, best = (agree(task, values, how) for how in ("mean", "best"))
    torch.testing.assert_close(mean[0], sum(upright) / 3)
    for i, view in enumerate(task.views):
        torch.testing.assert_close(mean[i], view.apply(mean[0]))
        assert torch.equal(best[i], view.apply(values[0]))


@pytest.mark.parametrize("strategy", ["synctweedies", "multidiffusion", "visual_anagrams", "consensus"])
def test_symmetric_strategies_make_one_picture(strategy):
    task, noise = AmbiguousImageTask(views("rotate_90", "flip_vertical")), unit_noise(1, *SHAPE)
    model = mixture(3, SHAPE)
    y = Sampler(dpm(), 6, Sync(strategy)).lockstep(task, model, task.show(noise[0]), SOURCE)
    torch.testing.assert_close(task.show(y[0]), y, rtol=1e-4, atol=1e-4)


def test_errors_name_the_view():
    with pytest.raises(ValueError, match="views: expected at least one"):
        AmbiguousImageTask([])
    with pytest.raises(ValueError, match=r"views\[0\]: expected the identity"):
        AmbiguousImageTask(views()[1:] + [make_view("skew", SIZE)])
    with pytest.raises(ValueError, match=r"views\[1\]: expected \(8, 8\) pixels, got \(16, 16\)"):
        AmbiguousImageTask([*views(), make_view("skew", 16)])
