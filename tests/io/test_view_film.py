"""Films between views begin with the picture, show the view in the middle, and end where they began."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from syncsde3d.core.operators import ViewName, make_view
from syncsde3d.io.view_film import see, view_film

SIZE = 32
PICTURE = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def test_seeing_is_numpys_turning():
    assert np.array_equal(see(make_view("rotate_90", SIZE), PICTURE), np.rot90(PICTURE))
    assert np.array_equal(see(make_view("flip_vertical", SIZE), PICTURE), PICTURE[::-1])


@pytest.mark.parametrize("name", [n for n in get_args(ViewName) if n != "identity"])
def test_a_film_leads_to_the_view_and_back(name: ViewName):
    view = make_view(name, SIZE)
    frames = list(view_film(PICTURE, [(name, view)], moving=10, still=3))
    assert len(frames) == 3 + 9 + 3 + 9
    assert all(np.array_equal(frame, PICTURE) for frame in frames[:3])
    assert all(np.array_equal(frame, see(view, PICTURE)) for frame in frames[12:15])
    assert np.array_equal(frames[3], frames[-1])
    for frame in frames:
        assert frame.dtype == np.uint8
        assert frame.shape == PICTURE.shape
    middle = frames[7]
    assert not np.array_equal(middle, PICTURE)
    assert not np.array_equal(middle, see(view, PICTURE))


def test_moving_pieces_stay_whole():
    """Halfway, each of four quarters is still found as it is, somewhere."""
    view = make_view("patches", SIZE, pieces=2, seed=1)
    frame = list(view_film(PICTURE, [("patches", view)], moving=2, still=1))[1]
    # The one that is drawn last lies on top and is whole.
    quarters = [PICTURE[y : y + 16, x : x + 16] for y in (0, 16) for x in (0, 16)]
    places = [(y, x) for y in range(17) for x in range(17)]
    assert any(np.array_equal(frame[y : y + 16, x : x + 16], q) for q in quarters for y, x in places)
