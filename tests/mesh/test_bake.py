"""The bake against known colours on known surfaces: fidelity, seams, background, occlusion, blending."""

from __future__ import annotations

import pytest
import torch
from mesh_shapes import MAGENTA, photograph, psnr, quads, solid, torus

from syncsde3d.mesh.bake import bake, edge_trust
from syncsde3d.mesh.cameras import TEXTURE_VIEWS, orbit
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.mesh.shade import render_textured
from syncsde3d.mesh.types import Mesh
from syncsde3d.mesh.visibility import Visibility

RASTERIZER, CAMERAS = get_rasterizer(), orbit(TEXTURE_VIEWS)
HELD_OUT = orbit([(22.0, 15.0), (112.0, -10.0), (202.0, 20.0), (337.0, 5.0)])
GREEN = (0.2, 0.7, 0.2)


def plain(points):
    return torch.tensor(GREEN).expand_as(points)


@pytest.fixture(scope="module")
def ring() -> tuple[Mesh, Visibility]:
    mesh = torus()
    return mesh, Visibility.of(mesh, CAMERAS, RASTERIZER, (512, 512))


def test_other_views_of_the_baked_texture_match_the_truth(ring):
    mesh, visibility = ring
    baked = bake(mesh, CAMERAS, photograph(mesh, CAMERAS, 256, solid), RASTERIZER, 256, visibility=visibility)
    truth = photograph(mesh, HELD_OUT, 256, solid)
    shown = render_textured(mesh, baked.texture, HELD_OUT, (256, 256), background=MAGENTA, supersample=1)
    assert 0.7 < baked.seen < 1
    inside = RASTERIZER.rasterize(mesh.vertices, mesh.faces, HELD_OUT, (256, 256)).mask
    assert psnr(shown.movedim(1, -1)[inside], truth.movedim(1, -1)[inside]) > 35  # filled parts included

    def touched(texels):  # pixels whose four texels include one of these
        marked = render_textured(
            mesh, texels[None].float(), HELD_OUT, (256, 256), background=(0.0,), supersample=1
        )
        return (marked[:, 0] > 1e-4) & inside

    seen = inside & ~touched(baked.islands & ~baked.coverage)
    seam = inside & touched(~baked.islands)
    assert psnr(shown.movedim(1, -1)[seen], truth.movedim(1, -1)[seen]) > 50
    assert seam.sum() > 500
    assert psnr(shown.movedim(1, -1)[seam], truth.movedim(1, -1)[seam]) > 35


def test_sharp_views_on_magenta_leave_none_on_the_texture(ring):
    """One colour on the surface must give that colour in every texel: seen, filled and padded ones."""
    mesh, visibility = ring
    baked = bake(mesh, CAMERAS, photograph(mesh, CAMERAS, 192, plain), RASTERIZER, 192, visibility=visibility)
    assert 0.2 < (~baked.islands).float().mean() < 0.5
    expected = torch.tensor(GREEN).view(3, 1, 1).expand_as(baked.texture)
    torch.testing.assert_close(baked.texture, expected, atol=1e-6, rtol=0)


def test_antialiased_views_hardly_bleed_and_erosion_is_what_helps(ring):
    mesh, visibility = ring
    views = photograph(mesh, CAMERAS, 192, plain, supersample=3)

    def magenta(reach):
        baked = bake(mesh, CAMERAS, views, RASTERIZER, 192, edge_erosion_px=reach, visibility=visibility)
        return ((baked.texture[0] - GREEN[0]) / (1 - GREEN[0]) > 0.1).float().mean().item()

    assert magenta(3) < 1e-3
    assert magenta(0) > 5 * magenta(3)


def test_what_stands_behind_takes_no_colour_from_what_stands_in_front():
    """A small plate 0.3 before a large one, seen by two cameras: the shadowed middle is known to one only."""
    plates = quads(
        [[-0.2, -0.2, 0.3], [0.2, -0.2, 0.3], [0.2, 0.2, 0.3], [-0.2, 0.2, 0.3]],
        [[-0.7, -0.7, 0.0], [0.7, -0.7, 0.0], [0.7, 0.7, 0.0], [-0.7, 0.7, 0.0]],
    )
    red, blue = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    rig = orbit([(0.0, 0.0), (50.0, 0.0)])
    views = photograph(plates, rig, 200, lambda p: torch.where(p[..., 2:] > 0.15, red, blue))
    baked = bake(plates, rig, views, RASTERIZER, 128, edge_erosion_px=0)
    texels = RASTERIZER.rasterize_uv(plates.uvs, plates.uv_faces, (128, 128))
    front = (texels.face[0] >= 0) & (texels.face[0] < 2)
    assert (baked.texture[:, front] - red.unsqueeze(1)).abs().max() < 1e-5
    assert (baked.texture[:, baked.islands & ~front] - blue.unsqueeze(1)).abs().max() < 1e-5
    assert baked.seen > 0.95


@pytest.mark.parametrize("power", [1.0, 6.0])
def test_views_are_blended_by_a_power_of_the_cosine(power):
    """Two plainly coloured views of one plate: the texel's share of each is known in closed form."""
    plate = quads([[-0.6, -0.6, 0.0], [0.6, -0.6, 0.0], [0.6, 0.6, 0.0], [-0.6, 0.6, 0.0]])
    rig = orbit([(0.0, 0.0), (40.0, 20.0)])
    views = torch.stack((torch.zeros(1, 96, 96), torch.ones(1, 96, 96)))
    baked = bake(plate, rig, views, RASTERIZER, 64, cosine_power=power, edge_erosion_px=0)
    at = RASTERIZER.rasterize_uv(plate.uvs, plate.uv_faces, (64, 64)).interpolate(
        plate.vertices[plate.faces]
    )[0]
    eye = rig.positions
    cosine = [(eye[k, 2] - at[..., 2]) / (eye[k] - at).norm(dim=-1) for k in range(2)]
    expected = cosine[1] ** power / (cosine[0] ** power + cosine[1] ** power)
    inner = (at[..., :2].abs() < 0.5).all(-1) & baked.islands
    torch.testing.assert_close(baked.texture[0][inner], expected[inner], atol=3e-3, rtol=0)


def test_open_sheets_are_painted_from_behind():
    plate = quads([[-0.6, -0.6, 0.0], [0.6, -0.6, 0.0], [0.6, 0.6, 0.0], [-0.6, 0.6, 0.0]])
    behind = orbit([(180.0, 0.0)])
    baked = bake(plate, behind, photograph(plate, behind, 64, plain), RASTERIZER, 64, edge_erosion_px=0)
    assert baked.seen == 1


def test_thin_parts_keep_their_colour():
    """A rod two pixels wide is all silhouette, and must be painted all the same."""
    rod = quads([[-0.008, -0.8, 0.0], [0.008, -0.8, 0.0], [0.008, 0.8, 0.0], [-0.008, 0.8, 0.0]])
    rig = orbit([(0.0, 0.0)])
    baked = bake(rod, rig, photograph(rod, rig, 256, plain), RASTERIZER, 64)
    assert baked.seen > 0.6
    torch.testing.assert_close(baked.texture[:, 32, 32], torch.tensor(GREEN))


def test_trust_grows_from_silhouettes_and_depth_steps():
    plates = quads(
        [[-0.2, -0.7, 0.3], [0.2, -0.7, 0.3], [0.2, 0.7, 0.3], [-0.2, 0.7, 0.3]],
        [[-0.7, -0.7, 0.0], [0.7, -0.7, 0.0], [0.7, 0.7, 0.0], [-0.7, 0.7, 0.0]],
    )
    rig = orbit([(0.0, 0.0)])
    fragments = RASTERIZER.rasterize(plates.vertices, plates.faces, rig, (100, 100))
    row = edge_trust(fragments, rig, 4)[0, 50]
    face = fragments.face[0, 50]
    border = (face // 2 != (face // 2).roll(1)).nonzero().squeeze(1)  # of plates and background
    distance = torch.minimum(*((torch.arange(100)[:, None] - border + k).abs().amin(1) for k in (0, 1)))
    expected = (distance / 4).clamp(1e-3, 1) * (face >= 0)
    torch.testing.assert_close(row, expected)


def test_results_repeat_bit_for_bit(ring):
    mesh, visibility = ring
    views = photograph(mesh, CAMERAS, 96, solid)
    first, second = (bake(mesh, CAMERAS, views, RASTERIZER, 128, visibility=visibility) for _ in range(2))
    assert torch.equal(first.texture, second.texture)


def test_bad_arguments_are_named():
    mesh = torus(8, 4)
    views = torch.zeros(10, 3, 16, 16)
    with pytest.raises(ValueError, match=r"images: expected \[10, c, h, w\], one per camera"):
        bake(mesh, CAMERAS, views[:9], RASTERIZER)
    with pytest.raises(ValueError, match="no texture coordinates"):
        bake(Mesh(mesh.vertices, mesh.faces), CAMERAS, views, RASTERIZER)
    with pytest.raises(ValueError, match="no texel is seen"):
        bake(mesh, orbit([(0.0, 0.0)], distance=-2.0), views[:1], RASTERIZER, 32)
    empty = mesh.with_uvs(torch.full_like(mesh.uvs, 0.5), mesh.uv_faces)
    with pytest.raises(ValueError, match="texture_size: 32 leaves no texel"):
        bake(empty, CAMERAS, views, RASTERIZER, 32)
