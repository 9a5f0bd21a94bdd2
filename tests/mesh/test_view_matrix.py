"""The sparse view matrix against a slow bake-then-render, and what it does to noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh

from syncsde3d.mesh.cameras import TEXTURE_VIEWS, orbit
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.mesh.types import Mesh
from syncsde3d.mesh.view_matrix import ViewMatrix, build_view_matrix
from syncsde3d.mesh.visibility import Visibility, surface_points

SIZE = 28
CAMERAS = orbit(TEXTURE_VIEWS[:5])
RASTERIZER = get_rasterizer()


def scene() -> Mesh:
    ring = trimesh.creation.torus(0.75, 0.2, major_sections=32, minor_sections=16)
    both = trimesh.util.concatenate([ring, trimesh.creation.icosphere(3, 0.4)])
    both.apply_transform(trimesh.transformations.rotation_matrix(0.9, [1, 0.3, 0]))
    return Mesh(torch.tensor(np.array(both.vertices)).float(), torch.tensor(np.array(both.faces)).long())


@pytest.fixture(scope="module")
def visibility() -> Visibility:
    return Visibility.of(scene(), CAMERAS, RASTERIZER)


def slow_twin(values, visibility, compose, precision, symmetric):
    """Pixel by pixel: what each candidate view shows of this surface point, combined. Returns X~ and M."""
    mesh, n = scene(), len(CAMERAS)
    fragments = RASTERIZER.rasterize(mesh.vertices, mesh.faces, CAMERAS, (SIZE, SIZE))
    covered = fragments.mask.numpy()
    depth_image = fragments.depth.numpy()
    points = surface_points(mesh, fragments)
    seen = np.stack([visibility.cosine(points, view).numpy() for view in range(n)])
    facing = np.stack([points.cosine(CAMERAS, view).numpy() for view in range(n)])
    out, weight = np.zeros((n, values.shape[1], SIZE, SIZE)), np.zeros((n, SIZE, SIZE))
    focal = SIZE / 2 / math.tan(CAMERAS.fov / 2)
    for number, (view, row, column) in enumerate(np.argwhere(covered)):
        found = []
        for source in range(n if symmetric else view):
            x, y, z, _ = CAMERAS.world_to_view[source].numpy() @ np.append(points.position[number].numpy(), 1)
            i, j = math.floor(SIZE / 2 - focal * y / -z), math.floor(SIZE / 2 + focal * x / -z)
            cosine = facing[source, number] if source == view else seen[source, number]
            if cosine <= 0 or not (0 <= i < SIZE and 0 <= j < SIZE) or not covered[source, i, j]:
                continue
            slope = math.sqrt(1 - cosine**2) / max(cosine, 0.2)
            if abs(depth_image[source, i, j] + z) > 1.5 * -z / focal * slope + 1e-3:
                continue
            around = covered[source, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].sum() / 9
            score = cosine * (min(max((around - 0.4) / 0.6, 0), 1) if precision == "graded" else 1)
            if score > 0:
                found.append((score, values[source, :, i, j].numpy()))
        if not found:
            continue
        if compose == "best":
            found = [max(found, key=lambda pair: pair[0])]
        total = sum(score for score, _ in found)
        out[view, :, row, column] = sum(score / total * value for score, value in found)
        graded = sum(score / total * score for score, _ in found)
        weight[view, row, column] = graded if precision == "graded" else 1
    return torch.from_numpy(out), torch.from_numpy(weight)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(
    ("compose", "precision"), [("best", "graded"), ("mean", "graded"), ("mean", "binary")]
)
def test_equals_the_slow_twin(visibility, compose, precision, symmetric):
    fast = build_view_matrix(scene(), CAMERAS, SIZE, RASTERIZER, compose, precision, symmetric, visibility)
    values = torch.randn(len(CAMERAS), 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    expected, weight = slow_twin(values, visibility, compose, precision, symmetric)
    assert (weight > 0).sum() > 200
    assert torch.equal(fast.mask, weight > 0)
    torch.testing.assert_close(fast.apply(values).double(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(fast.precision.double(), weight, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def chain(visibility) -> ViewMatrix:
    return build_view_matrix(scene(), CAMERAS, SIZE, RASTERIZER, "mean", visibility=visibility)


def test_rows_sum_to_one_and_draw_on_earlier_views_only(chain):
    dense = chain.matrix.to_dense()
    torch.testing.assert_close(dense.sum(1).reshape(chain.mask.shape), chain.mask.float())
    row, column = dense.nonzero(as_tuple=True)
    assert (column // SIZE**2 < row // SIZE**2).all()
    assert not chain.mask[0].any()
    assert not chain.mask[~chain.fragments.mask].any()
    assert torch.equal(chain.precision > 0, chain.mask)


def test_one_view_at_a_time_equals_all_at_once(chain):
    values = torch.randn(len(CAMERAS), 4, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    together = chain.apply(values)
    assert chain.needs(0) == ()
    for view in range(len(CAMERAS)):
        states = {other: values[other] for other in chain.needs(view)} or {0: values[0]}
        torch.testing.assert_close(chain.apply_to_view(view, states), together[view], atol=1e-6, rtol=0)
    assert chain.needs(4)
    with pytest.raises(ValueError, match="values: view 4 draws on views"):
        chain.apply_to_view(4, {})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_apply_keeps_the_dtype(chain, dtype):
    values = torch.randn(len(CAMERAS), 2, SIZE, SIZE, generator=torch.Generator().manual_seed(2)).to(dtype)
    out = chain.apply(values)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), chain.apply(values.float()), atol=1e-2, rtol=1e-2)


def difference_power(values: torch.Tensor, mask: torch.Tensor) -> float:
    """Power of differences between neighbours inside the mask, as a share of white unit noise's."""
    power = []
    for step in (1, 2):
        both = mask.narrow(step, 1, SIZE_NOISE - 1) & mask.narrow(step, 0, SIZE_NOISE - 1)
        power.append(values.diff(dim=step + 1).square().mean(1)[both].mean() / 2)
    return float(sum(power) / 2)


SIZE_NOISE = 64


def test_the_best_view_keeps_noise_gaussian_and_nearly_white():
    rig = orbit(TEXTURE_VIEWS)
    best = build_view_matrix(scene(), rig, SIZE_NOISE, RASTERIZER, "best")
    noise = torch.randn(10, 48, SIZE_NOISE, SIZE_NOISE, generator=torch.Generator().manual_seed(0))
    reference = best.apply(noise)
    inside = reference.movedim(1, -1)[best.mask]
    assert best.mask.sum() > 5000
    assert abs(inside.var().item() - 1) < 0.02
    assert difference_power(reference, best.mask) > 0.85
    mean = build_view_matrix(scene(), rig, SIZE_NOISE, RASTERIZER, "mean").apply(noise)
    assert mean.movedim(1, -1)[best.mask].var().item() < 0.9, "averaging must be what shrinks variance"


def test_silhouettes_count_less_with_graded_precision(visibility):
    build = [
        build_view_matrix(scene(), CAMERAS, SIZE, RASTERIZER, "best", kind, visibility=visibility)
        for kind in ("graded", "binary")
    ]
    assert set(build[1].precision.unique().tolist()) == {0.0, 1.0}
    assert 0 < build[0].precision[build[0].mask].min() < 0.3
    assert build[0].precision.max() <= 1


def test_nothing_in_common_gives_an_empty_matrix():
    """Two cameras on opposite sides of a ball share no surface."""
    ball = trimesh.creation.icosphere(2, 0.5)
    mesh = Mesh(torch.tensor(np.array(ball.vertices)).float(), torch.tensor(np.array(ball.faces)).long())
    empty = build_view_matrix(mesh, orbit([(0.0, 0.0), (180.0, 0.0)]), 16, RASTERIZER)
    assert not empty.mask.any()
    assert empty.needs(1) == ()
    assert (empty.apply(torch.ones(2, 1, 16, 16)) == 0).all()
    assert (empty.apply_to_view(1, {0: torch.ones(1, 16, 16)}) == 0).all()


def test_unknown_choices_are_named():
    with pytest.raises(ValueError, match="'worst'"):
        build_view_matrix(scene(), CAMERAS, SIZE, RASTERIZER, "worst")  # pyright: ignore[reportArgumentType]
