"""Wide images: the grid of windows, the paper's step, joining without the whole, and the seams."""

from __future__ import annotations

import itertools
import weakref

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from core.tasks import mixture, unit_noise
from tasks.by_hand import SOURCE, Process, all_noise, ddim, dpm, equation_7, explicit

from syncsde3d.core import Sampler, Sync
from syncsde3d.core.strategies import agree
from syncsde3d.tasks.wide_image import WideImageTask


def covered(task: WideImageTask, i: int) -> list[tuple[int, int]]:
    """Rows and columns of the picture under each pixel of a window, in reading order."""
    top, left = task.corner(i)
    return [
        (top + y, (left + x) % (task.width or 10**9))
        for y in range(task.window[0])
        for x in range(task.window[1])
    ]


GRIDS = [
    WideImageTask(8, 32, 8),
    WideImageTask(8, 29, 8, 2),
    WideImageTask(4, 20, (4, 8), (4, 6)),
    WideImageTask(12, 17, 8, 2),
    WideImageTask(17, 12, (8, 6), (3, 2)),
    WideImageTask(8, 24, 8, wrap=True),
    WideImageTask(8, 25, 8, 3, wrap=True),
    WideImageTask(15, 8, 8, wrap=True),
    WideImageTask(11, 17, 8, 2, wrap=True),
]


@pytest.mark.parametrize("task", GRIDS)
def test_windows_cover_the_picture_and_no_more(task):
    places = [set(covered(task, i)) for i in range(task.count)]
    assert set().union(*places) == set(itertools.product(range(task.height), range(task.width)))
    for i in range(task.count):
        assert all(0 <= j < i and places[i] & places[j] for j in task.needs(i))
        assert all(i - j <= task.lookback for j in task.needs(i))
    assert task.needs(0) == ()


def test_the_paper_cuts_13_windows():
    task = WideImageTask(64, 256)
    assert (task.count, task.lookback) == (13, 1)
    assert [task.corner(i) for i in range(13)] == [(0, 16 * i) for i in range(13)]
    assert [task.needs(i) for i in range(1, 13)] == [(i - 1,) for i in range(1, 13)]
    assert WideImageTask(64, 250).corner(12) == (0, 250 - 64)  # flush with the border


@pytest.mark.parametrize("task", GRIDS)
def test_references_show_the_picture_so_far(task):
    """Painting windows one by one, later on top, as a dictionary of places; cut where the next one lies."""
    windows, canvas = unit_noise(task.count, 2, *task.window), {}
    for i in range(task.count):
        closes = task.wrap and (i + 1) % task.columns == 0
        precision = task.precision(i).expand(1, *task.window).flatten()
        reference = task.reference(i, dict(enumerate(windows[:i]))) if task.needs(i) else None
        for n, place in enumerate(covered(task, i)):
            y, x = divmod(n, task.window[1])
            between = closes and x >= task.stride[1] and x + task.corner(i)[1] < task.width
            if not between:  # the two ends of a circle are joined by what is not tied
                assert float(precision[n]) == (place in canvas)
            if precision[n] and not between:
                assert torch.equal(reference[:, y, x], canvas[place])
            elif not precision[n] and reference is not None:
                assert not reference[:, y, x].any()
        for n, place in enumerate(covered(task, i)):
            round_it = n % task.window[1] + task.corner(i)[1] >= task.width
            if not round_it:
                canvas[place] = windows[i, :, n // task.window[1], n % task.window[1]]
    picture = task.assemble(windows)
    for (y, x), value in canvas.items():
        assert torch.equal(picture[:, y, x], value)


def test_the_last_of_a_circle_has_room_between_its_ends():
    task = WideImageTask(8, 40, (8, 16), 4, wrap=True)
    assert task.corner(task.count - 1) == (0, 28)
    assert task.precision(task.count - 1)[0, 0].tolist() == [1] * 4 + [0] * 8 + [1] * 4
    assert task.needs(task.count - 1) == (0, task.count - 2)


def test_references_are_linear():
    task, (x, y) = WideImageTask(24, 42, 16, 4), unit_noise(2, 24, 1, 16, 16)
    references = [task.references(z[: task.count]) for z in (2 * x - 3 * y, x, y)]
    torch.testing.assert_close(references[0], 2 * references[1] - 3 * references[2])


def test_the_explicit_rule_is_equation_7():
    task, model = WideImageTask(4, 20, (4, 8), 4), mixture(4, (2, 4, 8))
    noise, tie = unit_noise(4, 2, 4, 8), (torch.arange(8) < 4).double()
    expected = equation_7(model, noise, [lambda y: (F.pad(y[-1], (0, 4))[..., 4:], tie)] * 3)
    found = explicit().lockstep(task, model, noise, SOURCE)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert (equation_7(model, noise, [lambda y: (y[-1], 0 * tie)] * 3) - found).abs().max() > 0.1


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("loose", [0, 1, 3])
def test_the_tie_loosens_where_the_overlap_ends(loose: int, wrap: bool):
    """By a tied place's distance, the larger of rows and columns, to the nearest free one of its window."""
    task, plain = (WideImageTask(14, 20, 8, 3, wrap, number) for number in (loose, 0))
    for i in range(task.count):
        tied = plain.precision(i)[0].bool()
        free = [(r, c) for r in range(8) for c in range(8) if not tied[r, c]]
        expected = torch.zeros(8, 8)
        for r, c in tied.nonzero().tolist():
            far = min((max(abs(r - y), abs(c - x)) for y, x in free), default=8)
            expected[r, c] = min(far / (loose + 1), 1.0)
        torch.testing.assert_close(task.precision(i), expected[None])
        assert torch.equal(task.precision(i) > 0, plain.precision(i) > 0)


@pytest.mark.parametrize("task", [WideImageTask(8, 20, 8, 4), WideImageTask(12, 14, 8, 4), GRIDS[-2]])
def test_no_strength_is_independent_and_streaming_is_lockstep(task):
    model, noise = mixture(task.count, (2, *task.window)), task.noise(SOURCE, 2, torch.float64)
    starts = all_noise(noise, task.count)
    free = [
        Sampler(dpm(), 5, sync).lockstep(task, model, starts, SOURCE)
        for sync in (Sync(inv_lambda=0.0), Sync("independent"))
    ]
    assert torch.equal(*free)
    together = Sampler(dpm(), 5).lockstep(task, model, starts, SOURCE)
    one_by_one = [t.result for t in Sampler(dpm(), 5).stream(task, model, noise, SOURCE)]
    torch.testing.assert_close(torch.stack(one_by_one), together, rtol=1e-5, atol=1e-5)
    assert (together - free[0]).abs().max() > 0.05


def test_one_window_is_the_plain_scheduler_loop():
    task, model, scheduler = WideImageTask(8, 8, 8), Process(8), ddim()
    noise = task.noise(SOURCE, 1, torch.float64)(0)[None]
    assert task.count == 1
    scheduler.set_timesteps(10)
    y = noise
    for index, t in enumerate(scheduler.timesteps):
        alpha = scheduler.alphas_cumprod[t].double()
        k = torch.arange(8.0).double()
        covariance = 0.25 * 0.9 ** (k[:, None] - k).abs()
        inverse = torch.linalg.inv(alpha * covariance + (1 - alpha) * torch.eye(8))
        y = scheduler.step((1 - alpha).sqrt() * y @ inverse, t, y).prev_sample
        assert index < 10
    found = task.assemble(Sampler(ddim(), 10).lockstep(task, model, noise, SOURCE))
    torch.testing.assert_close(found, y[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("task", GRIDS)
def test_noise_is_cut_from_one_wide_noise(task):
    noise, seen = task.noise(SOURCE, 2), {}
    for i in range(task.count):
        window = noise(i)
        for n, place in enumerate(covered(task, i)):
            value = window[:, n // task.window[1], n % task.window[1]]
            assert torch.equal(seen.setdefault(place, value), value)
    values = torch.stack(list(seen.values()))
    assert len(values.unique()) > 0.99 * values.numel()
    assert values.std() == pytest.approx(1, abs=0.2)


def test_shared_noise_changes_nothing_in_a_cut_of_one_noise():
    task = GRIDS[3]
    noise = all_noise(task.noise(SOURCE, 1, torch.float64), task.count)
    runs = [
        Sampler(ddim(), 3, Sync(share_noise=s)).lockstep(task, Process(8), noise, SOURCE)
        for s in (True, False)
    ]
    assert torch.equal(*runs)


def test_a_picture_without_end_keeps_little():
    """Noise, trajectories and finished columns come as they go; only the last window is remembered."""
    task, alive, pieces = WideImageTask(4, None, (4, 8), 2), [], []
    most = 0

    def results():
        nonlocal most
        for trajectory in Sampler(ddim(), 2).stream(
            task, Process(8), task.noise(SOURCE, 1, torch.float64), SOURCE
        ):
            alive.append(weakref.ref(trajectory.states))
            result = trajectory.result.clone()
            del trajectory
            most = max(most, sum(ref() is not None for ref in alive))
            yield result

    for piece in itertools.islice(task.join(results()), 12):
        pieces.append(piece)
    assert most == 1
    assert [p.shape for p in pieces] == [(1, 4, 2)] * 12
    finite = WideImageTask(4, 30, (4, 8), 2)
    start = all_noise(finite.noise(SOURCE, 1, torch.float64), finite.count)
    whole = finite.assemble(Sampler(ddim(), 2).lockstep(finite, Process(8), start, SOURCE))
    torch.testing.assert_close(torch.cat(pieces, -1)[..., :24], whole[..., :24], rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match="width: a picture without end"):
        task.agree(start, "mean")


@pytest.mark.parametrize("task", GRIDS)
def test_a_blend_fades_between_what_windows_show(task):
    """Windows cut from one picture join to it however they are blended, decoded three times as large too."""
    picture = unit_noise(1, 3 * task.height, 3 * task.width)
    cut = []
    for i in range(task.count):
        top, left = (3 * n for n in task.corner(i))
        columns = torch.arange(left, left + 3 * task.window[1]) % (3 * task.width)
        cut.append(picture[:, top : top + 3 * task.window[0], columns])
    for blend in (0, 4):
        torch.testing.assert_close(task.assemble(torch.stack(cut), blend), picture)
    steps = torch.arange(task.count).double().reshape(-1, 1, 1, 1).expand(-1, 1, *task.window)
    hard, soft = (task.assemble(steps, blend)[0] for blend in (0, 3))
    assert set(hard.unique().tolist()) <= set(range(task.count))
    if task.columns > 2:
        row = torch.cat((soft, soft[:, :1]), 1)[0] if task.wrap else soft[0]
        assert row.diff().abs().max() < hard[0].diff().abs().max() + task.wrap * task.count / 3


def test_a_blend_is_linear_across_the_border():
    task = WideImageTask(4, 12, (4, 8), 4)
    soft = task.assemble(torch.stack([torch.zeros(1, 4, 8), torch.ones(1, 4, 8)]), blend=3)
    torch.testing.assert_close(soft[0, 0], torch.tensor([0, 0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1]))


@pytest.mark.parametrize("task", GRIDS)
def test_agreement_is_place_by_place(task):
    values, seen = unit_noise(task.count, 1, *task.window), {}
    for i in range(task.count):
        for n, place in enumerate(covered(task, i)):
            y, x = divmod(n, task.window[1])
            away = (y - (task.window[0] - 1) / 2) ** 2 + (x - (task.window[1] - 1) / 2) ** 2
            seen.setdefault(place, []).append((away, i, float(values[i, 0, y, x])))
    mean, best, alone = (torch.empty(task.count, len(covered(task, 0))).double() for _ in range(3))
    for i in range(task.count):
        for n, place in enumerate(covered(task, i)):
            those = [value for _, _, value in seen[place]]
            mean[i, n], best[i, n], alone[i, n] = (
                sum(those) / len(those),
                min(seen[place])[2],
                len(those) == 1,
            )
    for how, expected in (("mean", mean), ("best", best)):
        torch.testing.assert_close(agree(task, values, how).flatten(1), expected)
        assert torch.equal(task.agree(values, how)[1].flatten(1), alone == 0)


def seams(inv_lambda: float, wrap: bool = False, correlation: float = 0.9) -> dict[str, float]:
    """RMS jumps of a picture of many rows where windows meet, within them, and round the circle."""
    task = WideImageTask(128, 96, (128, 32), (128, 8), wrap=wrap)
    noise = all_noise(task.noise(SOURCE, 1, torch.float64), task.count)
    y = Sampler(dpm(), 20, Sync(inv_lambda=inv_lambda)).lockstep(
        task, Process(32, correlation), noise, SOURCE
    )
    picture = task.assemble(y)[0]
    jumps = picture.diff(dim=-1).pow(2).mean(0).sqrt()
    borders = torch.arange(8, 96 - 32 + 1, 8) - 1
    inside = [k for k in range(95) if k % 8 != 7]
    overlaps = [
        (y[i] - task.reference(i, dict(enumerate(y)))) * task.precision(i) for i in range(1, task.count)
    ]
    return {
        "seam": float(jumps[borders].mean()),
        "inside": float(jumps[inside].mean()),
        "round": float((picture[:, 0] - picture[:, -1]).pow(2).mean().sqrt()),
        "apart": float(torch.stack(overlaps).abs().mean()),
        "deviation": float(picture.std()),
    }


def test_windows_join_the_better_the_harder_they_are_tied():
    """Pieces of one Gaussian process, whose neighbours differ by 0.224 RMS and values deviate by 0.5."""
    found = [seams(inv_lambda) for inv_lambda in (0.0, 1.0, 5.0, 20.0)]
    for key in ("apart", "seam"):
        values = [f[key] for f in found]
        assert values == sorted(values, reverse=True)
    free, paper = found[0], found[2]
    assert paper["apart"] < 0.6 * free["apart"]
    assert paper["seam"] < 0.8 * free["seam"]  # shared noise has already done much
    assert paper["seam"] < 1.35 * 0.224
    assert paper["inside"] == pytest.approx(free["inside"], rel=0.02)  # inside windows nothing is blurred
    assert paper["deviation"] == pytest.approx(0.5, abs=0.05)


def test_the_two_ends_of_a_circle_meet():
    open_ends, circle = seams(5.0), seams(5.0, wrap=True)
    assert open_ends["round"] > 0.65  # sqrt(2) deviations apart
    assert circle["round"] < 0.6 * open_ends["round"]
    assert circle["round"] < 1.5 * circle["seam"]
    assert circle["deviation"] == pytest.approx(0.5, abs=0.05)


def test_a_known_picture_is_extended():
    """The first window is given; what follows is tied to it as to one that was sampled."""
    task, model = WideImageTask(8, 16, 8, 4), mixture(3, (1, 8, 8))
    noise = task.noise(SOURCE, 1, torch.float64)
    first = next(Sampler(ddim(), 6).stream(task, model, noise, SOURCE))
    again = WideImageTask(8, 16, 8, 4, known={0: first.states})
    expected = Sampler(ddim(), 6).lockstep(task, model, all_noise(noise, 3), SOURCE)
    others = unit_noise(3, 1, 8, 8, seed=9)
    others[1:] = all_noise(noise, 3)[1:]
    found = Sampler(ddim(), 6).lockstep(again, model, others, SOURCE)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    later = Sampler(ddim(), 6).stream(task, model, noise, SOURCE, earlier=[first], first=1)
    torch.testing.assert_close(torch.stack([t.result for t in later]), expected[1:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, 32, 16), "height: expected at least a window's 16, got 8"),
        ((16, 15, 16), "width: expected at least a window's 16, got 15"),
        ((16, 32, 16, 17), "stride: expected 1 to the window's 16 along the height, got 17"),
        ((16, 32, 16, (4, 0)), "stride: expected 1 to the window's 16 along the width, got 0"),
        ((16, 32, 16, 16, True), "stride: expected less than the window's 16 round a circle"),
        ((16, None, 16, 4, True), "width: expected a number"),
        ((17, None, 16), "width: expected a number"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        WideImageTask(*arguments)


def test_joining_refuses_windows_of_another_shape():
    with pytest.raises(ValueError, match=r"windows: expected multiples of \(8, 8\), got \(1, 8, 12\)"):
        WideImageTask(8, 16, 8).assemble(torch.zeros(3, 1, 8, 12))
    with pytest.raises(ValueError, match="blend: expected at least 0, got -1"):
        WideImageTask(8, 16, 8).assemble(torch.zeros(5, 1, 8, 8), blend=-1)


@pytest.mark.parametrize(("width", "stride", "wrap"), [(28, 12, False), (32, 4, True)])
def test_a_fade_longer_than_the_overlap_ends_without_a_jump(width: int, stride: int, wrap: bool) -> None:
    """Windows of two levels in turn: no step between columns is larger than an even fade over the overlap."""
    task = WideImageTask(16, width, 16, stride, wrap)
    levels = torch.arange(task.count).remainder(2).double()
    picture = task.assemble(levels.view(-1, 1, 1, 1).expand(-1, 1, 16, 16), blend=12)[0, 0]
    shared = min(12, 16 - stride, stride if wrap else 16)
    assert picture.diff(dim=-1).abs().max() <= 1 / (shared + 1) + 1e-6
