"""What the motions that train the embedded models are called: captions, their words, classes of actions."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

#: Ways to begin a sentence; the first is the commonest.
SUBJECTS = ("a person", "someone", "the person", "a man", "a woman", "a human", "the man", "the woman")

#: Sentences besides those of the captions file, as people write them.
MORE: dict[str, tuple[str, ...]] = {
    "angry": ("a person is angry", "a person argues angrily"),
    "arm_circles": ("a person circles the arms", "a person swings the arms in circles"),
    "backflip": ("a person is doing a backflip", "a person flips backward"),
    "basketball_dribble": ("a person plays basketball", "a person is dribbling a ball"),
    "basketball_shoot": ("a person throws a basketball", "a person shoots a ball at the basket"),
    "block": ("a person defends", "a person ducks and blocks"),
    "bow": ("a person is bowing", "a person takes a bow"),
    "breakdance": ("a person is breakdancing", "a person does breakdance"),
    "cartwheel": ("a person is doing a cartwheel", "a person cartwheels"),
    "cheer": ("a person is cheering", "a person celebrates", "a person raises a fist"),
    "climb": ("a person climbs", "a person is climbing", "a person climbs up"),
    "confused": ("a person is confused", "a person scratches the head"),
    "crawl": ("a person crawls", "a person is crawling", "a person crawls forward"),
    "crouch": ("a person crouches", "a person is crouching", "a person crouches down"),
    "crouch_walk": ("a person sneaks forward", "a person walks crouched", "a person sneaks"),
    "dance": ("a person is dancing", "a person dances to music"),
    "dance_ballet": ("a person is dancing ballet", "a person does a pirouette", "a dancer dances"),
    "dizzy": ("a person is dizzy", "a person staggers"),
    "drive": ("a person drives", "a person is driving a car"),
    "eat": ("a person eats", "a person is eating", "a person drinks"),
    "fall_down": ("a person falls", "a person falls down", "a person is falling down"),
    "fight_stance": ("a person is ready to fight", "a person raises the fists"),
    "idle": ("a person stands", "a person is standing", "a person stands in place", "a person waits"),
    "jog": ("a person jogs", "a person is jogging"),
    "jog_in_place": ("a person jogs in place", "a person runs in place", "a person is jogging in place"),
    "jump": ("a person is jumping", "a person jumps up", "a person jumps up and down", "a person hops"),
    "jumping_jacks": ("a person is doing jumping jacks", "jumping jacks"),
    "karate": ("a person does karate", "a person practices karate", "a person is doing martial arts"),
    "knee_raise": ("a person raises the knees", "a person lifts the knees", "a person raises a knee"),
    "kneel": ("a person kneels", "a person kneels down", "a person is kneeling"),
    "kneel_work": ("a person kneels and works", "a person repairs something on the ground"),
    "lie_down": ("a person lies down", "a person is lying on the floor", "a person sleeps"),
    "listen": ("a person listens", "a person is listening"),
    "meditate": ("a person is meditating", "a person sits on the floor", "a person sits on the ground"),
    "nod": ("a person is nodding", "a person nods the head"),
    "pick_up": ("a person picks something up", "a person picks up a box", "a person bends down"),
    "punch": ("a person is punching", "a person boxes", "a person is boxing", "a person fights"),
    "push": ("a person pushes", "a person is pushing something", "a person pushes a heavy box"),
    "push_up": ("a person is doing push-ups", "a person does a push-up"),
    "reach": ("a person reaches forward", "a person is reaching out", "a person takes something"),
    "refuse": ("a person says no", "a person refuses"),
    "roll": ("a person rolls", "a person rolls on the ground"),
    "run": ("a person runs", "a person is running", "a person is running forward", "a person runs straight"),
    "shiver": ("a person is shivering", "a person is cold", "a person shivers"),
    "sit": ("a person is sitting", "a person sits", "a person sits on a chair"),
    "sit_down": ("a person is sitting down", "a person sits down on a chair", "a person takes a seat"),
    "sit_stand": ("a person sits down and stands up", "a person sits down, then stands up"),
    "soccer_kick": ("a person kicks", "a person kicks a ball", "a person is kicking a ball"),
    "sprint": ("a person sprints", "a person runs fast", "a person is sprinting", "a person runs quickly"),
    "squat": ("a person squats", "a person is squatting", "a person squats down"),
    "stand_up": ("a person stands up", "a person gets up", "a person is standing up"),
    "swim": ("a person is swimming", "a person swims forward"),
    "sword": ("a person fights with a sword", "a person is swinging a sword", "a person uses a sword"),
    "talk": ("a person talks", "a person is talking", "a person speaks"),
    "throw": ("a person throws", "a person is throwing something", "a person throws a ball"),
    "toe_touch_one_hand": ("a person touches the toes", "a person stretches"),
    "toe_touch_two_hands": ("a person touches the toes", "a person is bending over", "a person stretches"),
    "torso_twist": ("a person twists", "a person turns the upper body", "a person twists the torso"),
    "walk": ("a person walks", "a person is walking", "a person is walking forward", "a person walks ahead"),
    "walk_all_directions": ("a person walks backward", "a person walks sideways"),
    "walk_fast": ("a person walks fast", "a person walks quickly", "a person is walking fast"),
    "walk_long_strides": ("a person takes long steps", "a person takes big steps"),
    "walk_slow": ("a person walks slowly", "a person is walking slowly", "a person strolls"),
    "walk_turn": ("a person turns around", "a person walks in a curve", "a person walks in a circle"),
    "walk_uneven": ("a person walks carefully", "a person steps over something"),
    "wash_window": ("a person wipes a window", "a person is cleaning a window", "a person cleans"),
    "wave": ("a person waves", "a person is waving", "a person waves a hand", "a person says hello"),
}  # fmt: skip

#: Actions that look alike, for judging. An action that is not listed is a class of its own.
CLASSES: dict[str, tuple[str, ...]] = {
    "walk": ("walk", "walk_slow", "walk_fast", "walk_long_strides", "walk_turn", "walk_all_directions"),
    "walk_uneven": ("walk_uneven",),
    "run": ("run", "sprint", "jog"),
    "march": ("knee_raise", "jog_in_place"),
    "jump": ("jump",),
    "bend": ("toe_touch_one_hand", "toe_touch_two_hands", "up_down", "pick_up", "bow"),
    "sit": ("sit", "sit_talk", "drive", "sit_down", "stand_up", "sit_stand"),
    "low": ("kneel", "kneel_work", "crouch", "crouch_walk", "block"),
    "ground": ("crawl", "lie_down", "push_up", "fall_down", "roll", "meditate"),
    "swim": ("swim", "tread_water"),
    "dance": ("dance", "dance_ballet"),
    "acrobatics": ("breakdance", "cartwheel", "backflip"),
    "fight": ("punch", "karate", "fight_stance"),
    "ball": ("basketball_dribble", "basketball_shoot", "throw"),
    "signal": ("basketball_signal", "direct_traffic", "wave", "cheer", "refuse"),
    "stand": (
        *("idle", "talk", "angry", "confused", "nod", "listen", "eat", "reach", "shiver", "dizzy"),
    ),
    "wash": ("wash_window", "wash_self"),
}  # fmt: skip

_SUBJECT = re.compile(r"^(a person|someone|the person|a man)\b")


def class_of(action: str) -> str:
    """The class that an action is judged as."""
    return next((name for name, actions in CLASSES.items() if action in actions), action)


def words(text: str) -> list[str]:
    """The words of a text, lower case; a hyphen parts words."""
    return re.findall(r"[a-z0-9']+", text.lower())


def captions_of(captions: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """All sentences of each action: those of a captions file and those of :data:`MORE`."""
    return {action: (*said, *MORE.get(action, ())) for action, said in captions.items()}


def vocabulary(captions: Mapping[str, Sequence[str]]) -> list[str]:
    """Every word that :func:`reworded` can use, sorted."""
    texts = [*SUBJECTS, *(text for said in captions.values() for text in said)]
    return sorted({word for text in texts for word in words(text)})


def reworded(caption: str, rng: random.Random) -> str:
    """The sentence with another subject, half of the time."""
    return _SUBJECT.sub(rng.choice(SUBJECTS), caption) if rng.random() < 0.5 else caption
