"""The stage against its geometry, worked out again pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from syncsde3d.io.motion_stage import Stage

NOTHING = np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 2)), np.zeros((0, 3), int), np.zeros((0, 2))


def seen(point: np.ndarray, camera: np.ndarray, size: tuple[int, int], angles: tuple[float, float, float]):
    """Pixel coordinates, by rotation matrices."""
    azimuth, tilt, view = map(math.radians, angles)
    x, y, z = np.asarray(point) - camera
    x, z = x * math.cos(azimuth) - z * math.sin(azimuth), x * math.sin(azimuth) + z * math.cos(azimuth)
    depth = -z * math.cos(tilt) - y * math.sin(tilt)
    up = y * math.cos(tilt) - z * math.sin(tilt)
    focal = size[1] / 2 / math.tan(view / 2)
    return np.array([size[0] / 2 + focal * x / depth, size[1] / 2 - focal * up / depth])


@pytest.fixture(scope="module")
def stage():
    return Stage((160, 120), 35.0, 11.0, 30.0)


def test_a_ball_is_where_perspective_puts_it(stage):
    camera = np.array([3.1, 1.9, 4.4])
    for centre in ([0.0, 0.9, 0.0], [0.5, 0.3, -0.4], [-0.6, 1.5, 0.2]):
        ball = np.array([centre])
        red = np.array([[255, 0, 0]])
        empty = np.zeros((0, 2))
        picture = stage.picture(camera, ball, ball + [0, 1e-6, 0], np.array([[0.12, 0.12]]), red, empty)
        mine = (picture[..., 0] > 100) & (picture[..., 1] < 120)
        rows, columns = mine.nonzero()
        expected = seen(np.array(centre), camera, (160, 120), (35.0, 11.0, 30.0))
        assert np.abs([columns.mean() + 0.5, rows.mean() + 0.5] - expected).max() < 0.6
        depth = np.linalg.norm(np.array(centre) - camera)
        radius = 0.12 * 60 / math.tan(math.radians(15)) / depth
        assert mine.sum() == pytest.approx(math.pi * radius**2, rel=0.1)


def test_the_nearer_rod_hides_the_farther(stage):
    camera = np.array([0.0, 1.0, 5.0]) - stage.forward * 0
    towards = stage.forward
    near, far = camera + 3 * towards, camera + 4 * towards
    colours = np.array([[255, 0, 0], [0, 0, 255]])
    radii = np.full((2, 2), 0.1)
    for order in ([0, 1], [1, 0]):
        places = np.array([near, far])[order]
        picture = stage.picture(camera, places, places + 1e-6, radii, colours[order], np.zeros((0, 2)))
        assert picture[60, 80, 0] > 150
        assert picture[60, 80, 2] < 30


def test_the_floor_is_the_mean_of_its_checks(stage):
    """Against 8 x 8 rays through a pixel."""
    camera = np.array([0.37, 1.6, -0.81])
    picture = stage.picture(camera, *NOTHING).astype(float)
    fine = Stage((160 * 8, 120 * 8), 35.0, 11.0, 30.0).picture(camera, *NOTHING).astype(float)
    mean = fine.reshape(120, 8, 160, 8, 3).mean((1, 3))
    assert np.abs(picture - mean)[60:].mean() < 1.2
    assert np.ptp(picture[100:], axis=(0, 1)).min() > 15  # there are light and dark checks


def test_the_floor_moves_against_the_camera(stage):
    still = stage.picture(np.array([0.0, 1.6, 0.0]), *NOTHING)
    tile = stage.picture(np.array([1.0, 1.6, -2.0]), *NOTHING)  # whole periods of two tiles
    half = stage.picture(np.array([0.5, 1.6, 0.0]), *NOTHING)
    assert np.abs(still.astype(int) - tile).max() <= 2
    floor = still[100:].mean(-1) - still[100:].mean()
    assert (
        floor * (half[100:].mean(-1) - half[100:].mean())
    ).mean() < -0.8 * floor.var()  # light and dark swap


def test_a_shadow_lies_under_the_body_and_a_trail_behind_it(stage):
    camera = np.array([3.1, 1.9, 4.4])
    body = np.array([[0.0, 0.3, 0.0]])
    radii, colour = np.array([[0.1, 0.1]]), np.array([[200, 200, 200]])
    plain = stage.picture(camera, *NOTHING).astype(int)
    dark = stage.picture(camera, body, body + 1e-6, radii, colour, np.zeros((0, 2))).astype(int)
    onto = seen(np.array([0.105, 0.0, -0.135]), camera, (160, 120), (35.0, 11.0, 30.0)).astype(int)
    assert (dark - plain)[onto[1] + 1, onto[0], :].max() < -20
    path = np.stack([np.linspace(-1, 0.5, 30), np.full(30, 0.4)], -1)
    trail = stage.picture(camera, *NOTHING[:4], path).astype(int)
    x, y = seen(np.array([0.4, 0.0, 0.4]), camera, (160, 120), (35.0, 11.0, 30.0)).astype(int)
    assert (trail - plain)[y - 1 : y + 2, x - 1 : x + 2, 1].min() < -25  # pink: less green
    assert not (trail - plain)[:40].any()


def test_what_is_behind_the_camera_is_left_out(stage):
    camera = np.array([0.0, 1.0, 0.0])
    behind = camera - 2 * stage.forward[None]
    picture = stage.picture(
        camera, behind, behind + 1e-3, np.array([[0.1, 0.1]]), np.array([[255, 0, 0]]), np.zeros((0, 2))
    )
    assert np.array_equal(picture, stage.picture(camera, *NOTHING))
