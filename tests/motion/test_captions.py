"""Captions, their vocabulary and the classes of actions."""

from __future__ import annotations

import json
import random
from pathlib import Path

from syncsde3d.motion.captions import (
    CLASSES,
    MORE,
    SUBJECTS,
    captions_of,
    class_of,
    reworded,
    vocabulary,
    words,
)


def test_everything_that_can_be_said_is_in_the_vocabulary() -> None:
    captions = captions_of({"walk": ["a person walks forward"], "own": ["someone does push-ups, slowly"]})
    known, rng = set(vocabulary(captions)), random.Random(0)
    assert {"push", "ups", "slowly", "walking"} <= known
    for said in captions.values():
        for caption in said:
            for _ in range(20):
                assert set(words(reworded(caption, rng))) <= known


def test_rewording_changes_the_subject_alone() -> None:
    rng = random.Random(0)
    said = {reworded("a person walks forward", rng) for _ in range(200)}
    assert said == {f"{subject} walks forward" for subject in SUBJECTS}
    assert reworded("jumping jacks", rng) == "jumping jacks"
    assert reworded("a personal walk", rng) == "a personal walk"


def test_a_sentence_names_one_action() -> None:
    said = [caption for captions in MORE.values() for caption in captions]
    twice = {caption for caption in said if said.count(caption) > 1}
    assert twice == {"a person touches the toes", "a person stretches"}  # with one hand or two


def test_no_action_is_in_two_classes() -> None:
    listed = [action for actions in CLASSES.values() for action in actions]
    assert len(listed) == len(set(listed))
    assert [class_of(a) for a in ("sprint", "bow", "climb", "walk")] == ["run", "bend", "climb", "walk"]


def test_names_are_those_of_the_data(shared: Path) -> None:
    actions = set(json.loads((shared / "motion" / "captions.json").read_text(encoding="utf-8")))
    assert set(MORE) <= actions
    assert {action for group in CLASSES.values() for action in group} <= actions
    known = set(vocabulary(captions_of(json.loads((shared / "motion" / "captions.json").read_text()))))
    for prompt in ("a person walks forward", "a person jumps", "a person sits down", "a man runs", "waves"):
        assert set(words(prompt)) <= known
