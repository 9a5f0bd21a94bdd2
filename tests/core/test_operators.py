"""Views and windows: exact rearrangements, against numpy."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from core.tasks import unit_noise

from syncsde3d.core.operators import Permutation, ViewName, make_view
from syncsde3d.core.operators import jigsaw_pieces as cut_jigsaw

NAMES = get_args(ViewName)
SIZE = 32
PICTURE = unit_noise(3, SIZE, SIZE)


@pytest.mark.parametrize("name", NAMES)
def test_a_view_permutes_pixels_and_is_undone_exactly(name):
    view = make_view(name, SIZE)
    numbers = torch.arange(SIZE**2).reshape(SIZE, SIZE)
    assert torch.equal(view.apply(numbers).flatten().sort().values, numbers.flatten())
    assert torch.equal(view.inverse().apply(view.apply(PICTURE)), PICTURE)
    assert torch.equal(view.apply(view.inverse().apply(PICTURE)), PICTURE)
    assert torch.equal(view.apply(PICTURE), PICTURE) == (name == "identity")


@pytest.mark.parametrize("name", NAMES)
def test_a_view_is_linear_and_orthogonal(name):
    view, (x, y) = make_view(name, SIZE), unit_noise(2, 3, SIZE, SIZE)
    torch.testing.assert_close(view.apply(2 * x - 3 * y), 2 * view.apply(x) - 3 * view.apply(y))
    torch.testing.assert_close((view.apply(x) * y).sum(), (x * view.inverse().apply(y)).sum())


def skewed(x: np.ndarray) -> np.ndarray:
    width = x.shape[1]
    return np.stack([np.roll(x[:, j], int(1.5 * (j - width / 2))) for j in range(width)], 1)


@pytest.mark.parametrize("size", [16, 17])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rotate_90", np.rot90),
        ("rotate_180", lambda x: np.rot90(x, 2)),
        ("rotate_270", lambda x: np.rot90(x, -1)),
        ("flip_vertical", np.flipud),
        ("flip_horizontal", np.fliplr),
        ("skew", skewed),
    ],
)
def test_simple_views_are_numpys(name, expected, size):
    picture = unit_noise(size, size)
    np.testing.assert_array_equal(make_view(name, size).apply(picture).numpy(), expected(picture.numpy()))


@pytest.mark.parametrize("size", [32, 33])
@pytest.mark.parametrize("degrees", [0, 90, -90, 180, 450])
def test_quarter_turns_of_the_disc_are_exact(degrees, size):
    picture, middle = unit_noise(size, size).numpy(), (size - 1) / 2
    y, x = np.mgrid[:size, :size] - middle
    expected = np.where(x**2 + y**2 <= (size / 2) ** 2, np.rot90(picture, degrees // 90), picture)
    found = make_view("inner_circle", size, degrees=degrees).apply(torch.from_numpy(picture))
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("degrees", [-100, -30, 20, 45, 135])
def test_any_turn_of_the_disc_moves_pixels_where_they_belong(degrees):
    """Each shear rounds by at most half a pixel: three make at most 1.6, but for the few at the rim."""
    size, turn = 128, math.radians(degrees)
    index = make_view("inner_circle", size, degrees=degrees).index.numpy()
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    from_y, from_x = np.array(np.divmod(index, size)) - (size - 1) / 2
    # Counter-clockwise with y downwards: what is at (x, y) came from the point turned back.
    gap = np.hypot(from_x - x * np.cos(turn) + y * np.sin(turn), from_y - x * np.sin(turn) - y * np.cos(turn))
    disc = np.hypot(x, y) <= size / 2
    assert (from_y == y)[~disc].all()
    assert np.mean(gap[disc] > 1.6) < 0.01
    assert gap[disc & (np.hypot(x, y) < size / 2 - 2)].max() < 1.6
    assert gap[disc].mean() < 0.7


def test_patches_move_whole_and_none_stays():
    pieces = 4
    found = make_view("patches", SIZE, pieces=pieces, seed=3).apply(PICTURE)
    block = SIZE // pieces

    def blocks(x):
        return x.unfold(1, block, block).unfold(2, block, block).permute(1, 2, 0, 3, 4).flatten(0, 1)

    same = (blocks(found)[:, None] == blocks(PICTURE)).all((2, 3, 4))
    assert (same.sum(0) == 1).all()
    assert (same.sum(1) == 1).all()
    assert not same.diagonal().any()


@pytest.mark.parametrize("pieces", [3, 4])
def test_jigsaw_pieces_move_whole(pieces):
    size = 16 * pieces
    label, groups = cut_jigsaw(size, pieces)
    squares = (torch.arange(size) // 16)[:, None] * pieces + torch.arange(size) // 16
    assert 0.01 < (label != squares).double().mean() < 0.2  # tabs
    view = make_view("jigsaw", size, pieces=pieces, seed=1)
    moved, of = view.apply(label), torch.arange(size**2).reshape(size, size)
    for group in groups:
        for number in group:
            here = label == number
            assert len(moved[here].unique()) == 1  # one piece comes here, as a whole
            assert int(moved[here][0]) in group
            assert (int(moved[here][0]) == number) == (len(group) == 1)
            step = view.index[here] - of[here]
            assert len(step.unique()) == 1  # and neither turned nor torn
    corners = [0, pieces - 1, pieces * (pieces - 1), pieces**2 - 1]
    assert all([corner] in groups for corner in corners)


def test_the_seed_deals_the_pieces():
    views = [make_view("patches", SIZE, seed=seed).index for seed in (0, 0, 1)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_views_in_a_row_are_one():
    first, second = make_view("skew", SIZE), make_view("rotate_90", SIZE)
    both = first.then(second)
    assert torch.equal(both.apply(PICTURE), second.apply(first.apply(PICTURE)))
    assert torch.equal(both.inverse().apply(both.apply(PICTURE)), PICTURE)


def test_what_is_no_permutation_is_refused():
    with pytest.raises(ValueError, match="rearrange: expected a permutation of 4 x 6"):
        Permutation.of(lambda grid: grid.clamp(max=20), 4, 6)


def test_errors_name_the_argument():
    wrong: Any = "mirror"
    with pytest.raises(ValueError, match="view: expected one of identity, .*'mirror'"):
        make_view(wrong, 8)
    with pytest.raises(ValueError, match="pieces: expected a divisor of the size 8, got 3"):
        make_view("patches", 8, pieces=3)
    with pytest.raises(ValueError, match="pieces: expected at least 4 pixels to a piece, got 2"):
        make_view("jigsaw", 8, pieces=4)
