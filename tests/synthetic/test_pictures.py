"""Pictures: silhouettes and depth follow the mesh, backgrounds stand off, captions say what is shown."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from syncsde3d.mesh.cameras import orbit
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.synthetic.buffers import Buffers, depth_image, make_buffers, rig
from syncsde3d.synthetic.captions import Subject, caption, held_out, nothing, view_word, vocabulary
from syncsde3d.synthetic.materials import COLOURS, MATERIALS, luminance
from syncsde3d.synthetic.pictures import Picture, Pictures, PictureSource, as_item, object_picture
from syncsde3d.synthetic.scenes import SCENES, TIMES, panorama
from syncsde3d.synthetic.shapes import SHAPES, shape


@pytest.fixture(scope="module")
def buffers(tmp_path_factory: pytest.TempPathFactory) -> Buffers:
    return make_buffers(tmp_path_factory.mktemp("views"), [0], views=3, size=64, names=("ball", "vase"))


def test_depth_image_is_min_max_inverse_depth() -> None:
    depth = torch.tensor([[[2.0, 1.0], [-1.0, 4.0]]])
    expected = torch.tensor([[[(1 / 2 - 1 / 4) / (3 / 4), 1.0], [0.0, 0.0]]])
    torch.testing.assert_close(depth_image(depth), expected)
    assert depth_image(-torch.ones(1, 4, 4)).abs().sum() == 0


def test_ball_matches_its_closed_form(buffers: Buffers) -> None:
    """Positions of the ball, which is a little flattened, lie on an ellipsoid, normals point along them."""
    view = buffers.names.index("ball")
    axes = np.abs(shape("ball", 0)[0]).max(0)
    seen = buffers.alpha[view] == 255
    p = buffers.position[view][seen].astype(np.float64)
    n = buffers.normal[view][seen] / 127.0
    np.testing.assert_allclose(np.linalg.norm(p / axes, axis=1), 1, atol=0.02)
    assert np.mean((p * n).sum(1) / np.linalg.norm(p, axis=1)) > 0.98


def test_depth_is_what_texturing_sees(buffers: Buffers) -> None:
    """The stored depth image equals one made from fragments at the same cameras."""
    angles = [(float(a), float(e)) for a, e in buffers.views[3:]]
    vertices, faces = shape("vase", 0)
    best = []
    for distance in np.linspace(1.9, 2.15, 26):
        fragments = get_rasterizer("torch").rasterize(
            torch.from_numpy(vertices), torch.from_numpy(faces), orbit(angles, float(distance)), (64, 64)
        )
        best.append(
            float((depth_image(fragments.depth) - torch.from_numpy(buffers.depth[3:] / 255.0)).abs().mean())
        )
    assert min(best) < 0.01


def test_most_views_are_near_those_that_texture() -> None:
    angles = np.array([a for seed in range(40) for a in rig(16, np.random.default_rng(seed))])
    off = np.abs((angles[:, 0] + 22.5) % 45 - 22.5)
    level = np.minimum(np.abs(angles[:, 1]), np.abs(angles[:, 1] - 30))
    assert 0.75 < np.mean((off <= 5) & (level <= 2)) < 0.95
    assert -10 <= angles[:, 1].min() < -3  # and some are not
    assert angles[:, 1].max() > 33
    assert set((angles[:, 0] // 45).astype(int)) == set(range(8))
    assert {rig(1, np.random.default_rng(seed))[0] for seed in range(12)} == {(45.0, 10.0)}


def test_views_of_another_rig_are_rendered_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_buffers(tmp_path, [0], views=2, size=16, names=("cube",))
    stamp = (tmp_path / "position.npy").stat().st_mtime_ns
    monkeypatch.setattr("syncsde3d.synthetic.buffers.RIG", -1)
    make_buffers(tmp_path, [0], views=2, size=16, names=("cube",))
    assert (tmp_path / "position.npy").stat().st_mtime_ns > stamp


def test_views_are_kept_on_disk(tmp_path: Path) -> None:
    first = make_buffers(tmp_path, [1], views=2, size=32, names=("cube",))
    stamp = (tmp_path / "position.npy").stat().st_mtime_ns
    again = make_buffers(tmp_path, [1], views=2, size=32, names=("cube",))
    assert (tmp_path / "position.npy").stat().st_mtime_ns == stamp
    np.testing.assert_array_equal(first.position, again.position)


def test_ground_is_dark_behind_bright_colours_and_light_behind_dark_ones(buffers: Buffers) -> None:
    for seed in range(24):
        rng = np.random.default_rng(seed)
        colour = list(COLOURS)[seed % len(COLOURS)]
        picture = object_picture(buffers, seed % len(buffers), "plain", colour, rng)
        inside = buffers.alpha[seed % len(buffers)] == 255
        image = picture.image / 255.0
        ground = image[0, 0]
        brighter = luminance(image[inside].astype(np.float32)).mean() - luminance(ground.astype(np.float32))
        dark = colour in ("red", "green", "blue", "purple", "brown", "black")
        assert (-brighter if dark else brighter) > 0.15, colour
        outside = image[buffers.alpha[seed % len(buffers)] == 0]
        np.testing.assert_array_equal(outside, np.broadcast_to(ground, outside.shape))


def test_views_in_use_outlive_their_replacement(tmp_path: Path) -> None:
    in_use = make_buffers(tmp_path, [0], views=2, size=16, names=("ball",))
    before = np.array(in_use.alpha)
    assert len(make_buffers(tmp_path, [0], views=3, size=16, names=("ball",))) == 3
    np.testing.assert_array_equal(in_use.alpha, before)


def test_training_never_draws_what_is_held_out(buffers: Buffers) -> None:
    share = np.mean([held_out(c, m, s) for c in COLOURS for m in MATERIALS for s in SHAPES])
    assert 0.08 < share < 0.12
    rng = np.random.default_rng(0)
    for held in (False, True):
        source = PictureSource(buffers, (1.0, 0.0, 0.0), held=held)
        for _ in range(60):
            s = source.draw(rng).subject
            assert held_out(s.colour, s.material, s.name) == held


def test_only_the_asked_materials_are_painted(buffers: Buffers) -> None:
    rng = np.random.default_rng(6)
    source = PictureSource(buffers, (0.7, 0.0, 0.3), held=None, materials=("striped", "brick"))
    assert {source.draw(rng).subject.material for _ in range(24)} == {"striped", "brick"}


def test_a_source_without_any_combination_says_so(buffers: Buffers) -> None:
    kept = [
        next(m for m in MATERIALS if not any(held_out(c, m, n) for c, n in product(COLOURS, buffers.names)))
    ]
    with pytest.raises(ValueError, match="held out of training; there is none"):
        PictureSource(buffers, held=True, materials=kept)
    PictureSource(buffers, (0.0, 1.0, 0.0), held=True, materials=kept)
    PictureSource(buffers, held=False, materials=kept)


def test_views_are_named_by_chance_where_their_words_are_to_say_nothing(buffers: Buffers) -> None:
    """The same pictures, their views' words told of any of them alike; else every word is the view's."""
    told: dict[bool, list[Picture]] = {}
    for any_view in (False, True):
        source = PictureSource(buffers, (1.0, 0.0, 0.0), any_view=any_view)
        told[any_view] = [source.draw(np.random.default_rng(seed)) for seed in range(80)]
    for true, chance in zip(*told.values(), strict=True):
        np.testing.assert_array_equal(true.image, chance.image)
    side = [c for t, c in zip(*told.values(), strict=True) if t.subject.view == "side"]
    assert {c.subject.view for c in side} == {"front", "side", "back", "top"}


def test_pictures_repeat_by_seed(buffers: Buffers) -> None:
    def first(seed: int) -> list[dict]:
        stream = iter(Pictures(PictureSource(buffers, (0.6, 0.2, 0.2)), seed, drop=0.1))
        return [next(stream) for _ in range(6)]

    for a, b in zip(first(4), first(4), strict=True):
        assert torch.equal(a["image"], b["image"])
        assert a["caption"] == b["caption"]
    assert any(not torch.equal(a["image"], b["image"]) for a, b in zip(first(4), first(5), strict=True))


def test_every_pass_rank_and_worker_draws_other_pictures(buffers: Buffers) -> None:
    def first(pictures: Pictures, workers: int = 0) -> list[bytes]:
        batches = iter(DataLoader(pictures, 2, num_workers=workers))
        return [next(batches)["image"].numpy().tobytes() for _ in range(2)]

    source = PictureSource(buffers, (1.0, 0.0, 0.0))
    pictures = Pictures(source, 4)
    drawn = [*first(pictures), *first(pictures), *first(Pictures(source, 4, rank=1))]
    drawn += first(Pictures(source, 4), workers=2)[1:]  # the second worker's
    assert len(set(drawn)) == len(drawn) == 7


def test_items_have_depth_only_on_plain_ground(buffers: Buffers) -> None:
    rng = np.random.default_rng(1)
    source = PictureSource(buffers, (0.4, 0.3, 0.3), held=None)
    kinds = set()
    for _ in range(40):
        item = as_item(source.draw(rng), rng)
        name, _, _, _, scene, _ = item["subject"].split("|")
        kinds.add((bool(name), bool(scene)))
        assert item["has_depth"] == (bool(name) and not scene)
        assert bool(item["depth"].any()) == item["has_depth"]
        assert item["image"].shape == (3, 64, 64)
    assert kinds == {(True, False), (False, True), (True, True)}


def test_captions_use_only_known_words_and_name_the_facts(buffers: Buffers) -> None:
    words = set(vocabulary())
    rng = np.random.default_rng(2)
    source = PictureSource(buffers, (0.5, 0.25, 0.25))
    for _ in range(200):
        subject = source.draw(rng).subject
        for text in (caption(subject, rng), caption(subject), nothing(rng)):
            assert set(text.lower().replace(",", " ").replace(".", " ").split()) <= words, text
    plain = caption(Subject("boot", "green", "camouflage", "side"))
    assert plain == "a photo of a green camouflage boot, side view"
    assert caption(Subject("boot", "orange", "plain")) == "a photo of an orange boot"
    assert caption(Subject(scene="sea", time="night")) == "a photo of the sea at night"


@pytest.mark.parametrize(
    ("azimuth", "elevation", "word"),
    [
        (0, 0, "front"),
        (-30, 0, "front"),
        (45, 0, "side"),
        (270, 0, "side"),
        (120, 0, "back"),
        (225, 0, "back"),
        (180, 30, "back"),
        (10, 31, "top"),
        (90, -40, "bottom"),
    ],
)
def test_view_words(azimuth: float, elevation: float, word: str) -> None:
    assert view_word(azimuth, elevation) == word


@pytest.mark.parametrize("scene", SCENES)
def test_panoramas_repeat_and_follow_the_hour(scene: str) -> None:
    pictures = {time: panorama(scene, time, 160, seed=1, height=64) for time in TIMES}
    np.testing.assert_array_equal(pictures["day"], panorama(scene, "day", 160, seed=1, height=64))
    brightness = {time: luminance(picture).mean() for time, picture in pictures.items()}
    assert brightness["day"] > brightness["sunset"] > brightness["night"]
    sky = pictures["sunset"][:30].mean((0, 1))
    assert sky[0] > sky[1]
    with pytest.raises(ValueError, match="got 'moon'"):
        panorama("moon", "day", 64, 0)
