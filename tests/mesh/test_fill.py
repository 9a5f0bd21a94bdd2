"""Filling by nearness in space, and rims and padding around islands."""

from __future__ import annotations

import torch
from mesh_shapes import quads, torus

from syncsde3d.mesh.fill import extend_islands, fill_surface, near_a, pad_islands
from syncsde3d.mesh.rasterize import get_rasterizer


def test_unpainted_points_take_the_nearest_source_in_space():
    generator = torch.Generator().manual_seed(0)
    position = torch.rand(400, 3, generator=generator)
    position[:, 0] = torch.where(torch.arange(400) < 200, position[:, 0] * 0.2, 0.8 + position[:, 0] * 0.2)
    colour = (position[:, :1] > 0.5).float().expand(-1, 2)  # two clouds, each of one colour
    painted = torch.rand(400, generator=generator) < 0.5
    filled = fill_surface(torch.where(painted[:, None], colour, -1.0), painted, painted, position)
    torch.testing.assert_close(filled, colour)


def test_a_linear_colour_is_continued_smoothly():
    grid = torch.stack(torch.meshgrid(torch.linspace(0, 1, 41), torch.linspace(0, 1, 41), indexing="ij"), -1)
    position = torch.cat((grid.reshape(-1, 2), torch.zeros(41 * 41, 1)), 1)
    colour = position[:, :1]
    hole = (position[:, :2] - 0.5).norm(dim=1) < 0.15
    filled = fill_surface(colour.masked_fill(hole[:, None], 9.0), ~hole, ~hole, position)
    assert (filled - colour)[hole].abs().max() < 0.16
    assert torch.equal(filled[~hole], colour[~hole])


def test_points_that_may_not_lend_lend_nothing():
    position = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0.5, 0, 0]])
    colour = torch.tensor([[0.0], [5.0], [1.0]])
    painted, sources = torch.tensor([False, True, True]), torch.tensor([False, False, True])
    assert fill_surface(colour, painted, sources, position).flatten().tolist() == [1.0, 5.0, 1.0]


def test_near_a():
    position = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0.5, 0, 0], [0.05, 0, 0]])
    good, asked = torch.tensor([True, False, False, False]), torch.tensor([False, True, True, False])
    assert near_a(good, asked, position, 0.2).tolist() == [False, True, False, False]
    assert not near_a(good, torch.zeros(4) > 0, position, 0.2).any()


def test_the_rim_continues_faces_beyond_their_edges():
    plate = quads([[-0.6, -0.5, 0.1], [0.6, -0.5, 0.1], [0.6, 0.5, 0.3], [-0.6, 0.5, 0.3]])
    texels = get_rasterizer().rasterize_uv(plate.uvs, plate.uv_faces, (50, 50))
    extended = extend_islands(texels, plate.uvs[plate.uv_faces])
    rim = extended.mask & ~texels.mask
    grown = torch.nn.functional.max_pool2d(texels.mask.float(), 3, stride=1, padding=1) > 0
    assert torch.equal(extended.mask, grown)
    at = extended.interpolate(plate.vertices[plate.faces])[rim]
    row, column = rim[0].nonzero(as_tuple=True)
    u, v = ((column + 0.5) / 50 - 0.1) / 0.8, (1 - (row + 0.5) / 50 - 0.1) / 0.8
    torch.testing.assert_close(
        at, torch.stack((1.2 * u - 0.6, v - 0.5, 0.1 + 0.2 * v), -1), atol=1e-5, rtol=0
    )
    for before, after in ((texels.face, extended.face), (texels.depth, extended.depth)):
        assert torch.equal(before[texels.mask], after[texels.mask])


def test_padding_repeats_the_nearest_texel():
    mesh = torus(16, 8)
    islands = get_rasterizer().rasterize_uv(mesh.uvs, mesh.uv_faces, (40, 40)).mask[0]
    number = torch.arange(int(islands.sum())).float().unsqueeze(1)
    padded = pad_islands(number, islands)[0]
    assert torch.equal(padded[islands], number.flatten())
    inside = islands.nonzero().float()
    for texel in (~islands).nonzero():
        distance = (inside - texel).norm(dim=1)
        chosen = int(padded[tuple(texel)])
        assert distance[chosen] == distance.min()
