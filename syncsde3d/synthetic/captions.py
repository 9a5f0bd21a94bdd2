"""What a picture shows, the many ways people write it, and every word that such sentences use."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from syncsde3d.synthetic.materials import COLOURS, MATERIALS
from syncsde3d.synthetic.scenes import SCENES, TIMES
from syncsde3d.synthetic.shapes import SHAPES

#: Other words for the same thing.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "handbag": ("bag", "purse", "clutch bag"),
    "boot": ("work boot",),
    "shoe": ("sneaker",),
    "airplane": ("plane", "airliner"),
    "teddy bear": ("teddy", "bear"),
    "rabbit": ("bunny",),
    "sofa": ("couch",),
    "cup": ("mug",),
    "mug": ("cup",),
    "goblet": ("chalice",),
    "cat": ("kitten",),
    "cube": ("box",),
    "ball": ("sphere",),
    "house": ("building",),
    "gray": ("grey",),
    "striped": ("stripes",),
    "checkered": ("checker", "checked"),
    "polka dot": ("polka dots", "dotted"),
    "wooden": ("wood",),
    "knitted": ("knit",),
    "rusty": ("rust",),
    "grassy": ("grass",),
    "camouflage": ("camo",),
    "brick": ("bricks",),
    "denim": ("jeans",),
    "plaid": ("tartan",),
    "sea": ("ocean",),
    "mountains": ("mountain",),
    "city": ("skyline",),
}
#: Common negative prompts: dropped captions are sometimes made of these, so that they say nothing.
NEGATIVE: tuple[str, ...] = (
    "oversmoothed",
    "blurry",
    "depth of field",
    "out of focus",
    "low quality",
    "bloom",
    "glowing effect",
    "worst quality",
    "front view",
)
#: Words for the sides of an object that are seen.
VIEWS: tuple[str, ...] = ("front", "side", "back", "top")
#: Words that no caption uses, but that prompts may; each gets a token of its own, untrained as yet.
SPARE: tuple[str, ...] = (
    "shiny old new dark bright light small big large colorful golden gold silver metal metallic glass fabric "
    "cloth leathery painting oil watercolor drawing sketch render texture pattern object toy man woman "
    "person dog horse tree dragon sword koala mannequin torus knot wingnut giraffe frog sheep pig bird head "
    "statue spotted zebra tiger lava ice water fire cloud rain lake river beach village street field garden "
    "face winter summer morning evening",
)


@dataclass(frozen=True)
class Subject:
    """The facts of a picture; empty where they do not apply.

    name: an object of SHAPES. colour, material: its words. view: front, side, back, top or bottom.
    scene, time: of SCENES and TIMES.
    """

    name: str = ""
    colour: str = ""
    material: str = ""
    view: str = ""
    scene: str = ""
    time: str = ""


def view_word(azimuth: float, elevation: float) -> str:
    """Word for a direction in degrees: top above 30, bottom below -30, front to 30, back from 120, side."""
    if abs(elevation) > 30:
        return "top" if elevation > 0 else "bottom"
    turn = abs((azimuth + 180) % 360 - 180)
    return "front" if turn <= 30 else "back" if turn >= 120 else "side"


def held_out(colour: str, material: str, name: str) -> bool:
    """True for the tenth of all (colour, material, object) combinations that training never sees."""
    return zlib.crc32(f"{colour} {material} {name}".encode()) % 10 == 0


def article(phrase: str) -> str:
    """The phrase with "a" or "an" before it."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def caption(subject: Subject, rng: np.random.Generator | None = None) -> str:
    """One sentence for the picture: the plainest without ``rng``, else one of many wordings."""
    if not subject.name:
        return _scene_caption(subject, rng)
    if rng is None:
        return _object_caption(subject, ("a photo of ", ""), f", {subject.view} view" if subject.view else "")
    subject = Subject(**{k: _synonym(v, rng) for k, v in vars(subject).items()})
    before = ("a photo of ", "a photo of ", "a photo of ", "", "", "", "a picture of ", "an image of ")
    prefix = str(rng.choice(before)), "best quality, extremely detailed " if rng.uniform() < 0.3 else ""
    suffix = f", {subject.view} view" if subject.view and rng.uniform() < 0.65 else ""
    if subject.scene:
        where = "in" if rng.uniform() < 0.3 else "in front of"
        return _object_caption(subject, prefix, f" {where} {_place(subject, rng)}")
    return _object_caption(subject, prefix, suffix, rng)


def _object_caption(
    subject: Subject, prefix: tuple[str, str], suffix: str, rng: np.random.Generator | None = None
) -> str:
    style = 0.0 if rng is None else rng.uniform()
    colour, name = subject.colour, subject.name
    material = "" if subject.material == "plain" and style < 0.7 else subject.material
    if style < 0.85 or not material:
        phrase = article(" ".join(filter(None, (colour, material, name))))
    elif style < 0.93:
        phrase = f"{article(name)} made of {colour} {material}"
    else:
        phrase = article(f"{material} {name} in {colour}")
    stop = "." if rng is not None and rng.uniform() < 0.3 else ""
    return f"{prefix[1]}{prefix[0]}{phrase}{suffix}{stop}"


def _place(subject: Subject, rng: np.random.Generator | None = None) -> str:
    what = {
        "sea": "the sea",
        "mountains": "mountains",
        "mountain": "mountains",
        "snow": "snow",
        "ocean": "the ocean",
    }
    place = what.get(subject.scene) or article(subject.scene)
    if rng is not None and rng.uniform() < 0.3:
        place = f"the {subject.scene}"
    return f"{place} at {subject.time}" if subject.time != "day" else place


def _scene_caption(subject: Subject, rng: np.random.Generator | None) -> str:
    if rng is None:
        return f"a photo of {_place(subject)}"
    subject = Subject(scene=_synonym(subject.scene, rng), time=subject.time)
    before = ("a photo of ", "a photo of ", "a panorama of ", "a landscape with ", "", "a picture of ")
    by_day = " by day" if subject.time == "day" and rng.uniform() < 0.3 else ""
    return str(rng.choice(before)) + _place(subject, rng) + by_day


def _synonym(word: str, rng: np.random.Generator) -> str:
    others = SYNONYMS.get(word, ())
    return str(rng.choice(others)) if others and rng.uniform() < 0.2 else word


def nothing(rng: np.random.Generator) -> str:
    """The caption of the unconditional branch: empty, or a usual negative prompt."""
    if rng.uniform() < 0.6:
        return ""
    chosen = rng.choice(NEGATIVE, int(rng.integers(1, 6)), replace=False)
    return ", ".join(map(str, chosen))


def vocabulary() -> tuple[str, ...]:
    """Every word that captions may use, and some to spare: lower case, sorted."""
    said = [*SHAPES, *COLOURS, *MATERIALS, *SCENES, *TIMES, *SYNONYMS, *NEGATIVE, *SPARE]
    said += [word for words in SYNONYMS.values() for word in words]
    said += ["a photo picture image of an in on at by the with made front side back top bottom view panorama"]
    said += ["landscape before and best quality extremely detailed highly high resolution"]
    return tuple(sorted({word for phrase in said for word in phrase.lower().split()}))
