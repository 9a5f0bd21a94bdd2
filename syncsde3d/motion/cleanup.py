"""Feet that stand still where they should, and nothing below the floor.

An optional pass over joint positions (20 fps, floor at y = 0). Bone lengths of every frame are kept: feet are
moved by bending hips and knees, the body by raising or lowering it as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from syncsde3d.motion.features import FEET
from syncsde3d.motion.rotations import axis_angle_to_matrix, matrix_to_axis_angle, rotation_between

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

#: A joint of the foot may be planted below these heights (ankle, ball of the foot), metres ...
LOW = (0.11, 0.06)
#: ... if it rises or falls by less than this, metres per frame ...
RISING = 0.008
#: ... and moves by less than this, metres per frame: where contacts are told, and where they are not.
SLIDING, RESTING = 0.03, 0.015
#: Shorter contacts, frames, are passing; those that drift further, metres, are meant to slide.
SHORTEST, FURTHEST = 3, 0.15
#: Over how many frames a correction fades in and out.
BLEND = 5
#: How far the body may sink so that feet reach their places, metres; how far a leg stretches, of its length.
SINK, STRETCH = 0.04, 0.9995
#: How far below the floor a knee may come, metres.
BELOW = 0.004

#: Hip, knee, ankle and ball of each foot.
_LEGS = ((1, 4, 7, 10), (2, 5, 8, 11))


def clean_up(
    joints: Float[Tensor, "t 22 3"], contacts: Float[Tensor, "t 4"] | None = None
) -> Float[Tensor, "t 22 3"]:
    """The motion with planted feet held in place and lifted out of the floor.

    contacts: how surely each of :data:`syncsde3d.motion.features.FEET` stands still from this frame to the
    next, as in a motion's features; by default told from the joints. Knees keep the side they bend to. Where
    a leg would be too short the body sinks a little, where hands or knees are below the floor it rises, both
    smoothly. Feet that stand above the floor (on stairs, on a wall) or slide far are not held.
    """
    return _cleaned(joints, contacts)[0]


def planted(
    joints: Float[Tensor, "t 22 3"], contacts: Float[Tensor, "t 4"] | None = None
) -> Bool[Tensor, "t 4"]:
    """In which frames :func:`clean_up` holds each of :data:`syncsde3d.motion.features.FEET` in its place."""
    return _cleaned(joints, contacts)[1]


def _cleaned(
    joints: Float[Tensor, "t 22 3"], contacts: Float[Tensor, "t 4"] | None
) -> tuple[Float[Tensor, "t 22 3"], Bool[Tensor, "t 4"]]:
    """The motion, and which feet are held; those that would not reach their places are let go."""
    if joints.ndim != 3 or joints.shape[1:] != (22, 3) or not len(joints):
        raise ValueError(f"joints has shape {list(joints.shape)}, expected [t, 22, 3], t >= 1")
    if contacts is not None and contacts.shape != (len(joints), 4):
        raise ValueError(f"contacts has shape {list(contacts.shape)}, expected [{len(joints)}, 4]")
    points = joints.detach().double()
    others = [j for j in range(22) if j not in FEET]
    points = points + _height(_envelope(-points[:, others, 1].min(-1).values))
    clear = points[:, others, 1].min(-1).values.clamp(min=0)
    on = _resting(points, contacts)
    while True:
        feet = [
            _placed(points[:, leg[2]], points[:, leg[3]], both)
            for leg, both in zip(_LEGS, on.split(2, 1), strict=True)
        ]
        missing = [_missing(points, leg, ankle) for leg, (ankle, _) in zip(_LEGS, feet, strict=True)]
        sunk = torch.minimum(_envelope(torch.stack(missing).max(0).values.clamp(max=SINK)), clear)
        out = points - _height(sunk)
        let_go = torch.zeros_like(on)
        for i, (leg, (ankle, ball)) in enumerate(zip(_LEGS, feet, strict=True)):
            knee, reached = _bent(points, out[:, leg[0]], leg, ankle)
            out[:, leg[1]], out[:, leg[2]], out[:, leg[3]] = knee, reached, reached + ball - ankle
            failed = ((reached - ankle).norm(dim=-1) > 1e-4) | (knee[:, 1] < -BELOW)
            for column in (2 * i, 2 * i + 1):
                for start, end in _runs(on[:, column]):
                    let_go[start:end, column] = failed[max(start - BLEND, 0) : end + BLEND].any()
        if not let_go.any():
            return out.to(joints), on
        on = on & ~let_go


def _resting(points: Float[Tensor, "t 22 3"], contacts: Float[Tensor, "t 4"] | None) -> Bool[Tensor, "t 4"]:
    """In which frames each joint of the feet rests near the floor."""
    feet = points[:, FEET]
    low = feet[..., 1] < feet.new_tensor([*LOW, *LOW])
    step = feet.diff(dim=0)
    steps = low[1:] & low[:-1] & (step[..., 1].abs() < RISING)
    steps = steps & (step.norm(dim=-1) < (RESTING if contacts is None else SLIDING))
    if contacts is not None:
        steps = steps & (contacts[:-1] > 0.5).to(steps.device)
    frames = F.pad(steps, (0, 0, 0, 1)) | F.pad(steps, (0, 0, 1, 0))
    for foot in range(4):
        for start, end in _runs(frames[:, foot]):
            path = feet[start:end, foot]
            drift = (path.max(0).values - path.min(0).values).norm()
            if end - start < SHORTEST or drift > FURTHEST:
                frames[start:end, foot] = False
    return frames


def _runs(on: Bool[Tensor, " t"]) -> list[tuple[int, int]]:
    """The stretches [start, end) of frames in which ``on`` holds."""
    edges = F.pad(on.int(), (1, 1)).diff()
    starts, ends = ((edges == sign).nonzero().flatten().tolist() for sign in (1, -1))
    return list(zip(starts, ends, strict=True))


def _placed(
    ankle: Float[Tensor, "t 3"], ball: Float[Tensor, "t 3"], on: Bool[Tensor, "t 2"]
) -> tuple[Tensor, Tensor]:
    """Where ankle and ball of a foot are to be [t, 3]: in their places while planted, fading in between."""
    places = _places(ankle, ball, on)
    foot = ball - ankle
    both = on.all(-1)
    turn = matrix_to_axis_angle(rotation_between(foot, places[:, 1] - places[:, 0]))
    foot = (axis_angle_to_matrix(_faded(turn, both)) @ foot[..., None]).squeeze(-1)
    goal = torch.where(on[:, :1], places[:, 0], places[:, 1] - foot)
    ankle = ankle + _faded(goal - ankle, on.any(-1))
    sunk = torch.minimum(ankle[:, 1], (ankle + foot)[:, 1]).clamp(max=0)
    ankle = ankle - F.pad((sunk * ~on.any(-1))[:, None], (1, 1))
    return ankle, _above_floor(ankle + foot, ankle)


def _places(
    ankle: Float[Tensor, "t 3"], ball: Float[Tensor, "t 3"], on: Bool[Tensor, "t 2"]
) -> Float[Tensor, "t 2 3"]:
    """The place of ankle and ball for each frame in which they are planted, 0 elsewhere.

    In the order of time: a joint is planted where it moves least, or, if the other one is planted already, at
    a foot's length from it.
    """
    points = torch.stack((ankle, ball), dim=1)
    places = torch.zeros_like(points)
    runs = sorted((start, which, end) for which in (0, 1) for start, end in _runs(on[:, which]))
    for start, which, end in runs:
        own, other = points[start:end, which], points[start:end, 1 - which]
        speed = own.diff(dim=0).norm(dim=-1)
        slowest = torch.minimum(F.pad(speed, (0, 1), value=1.0), F.pad(speed, (1, 0), value=1.0))
        weight = 1 / (slowest + 5e-3) ** 2
        place = (weight[:, None] * own).sum(0) / weight.sum()
        together = on[start:end].all(-1).cummin(0).values
        if on[start, 1 - which] and (which == 1 or (start > 0 and on[start - 1, 1])):
            settled = places[start, 1 - which]
            foot = (own - other)[together]
            place = settled + F.normalize(foot.mean(0), dim=-1) * foot[0].norm()
            place = _above_floor(place, settled)
        else:
            lowest = torch.minimum(own[:, 1], other[:, 1]) - own[:, 1]
            place = place + place.new_tensor([0, 1, 0]) * (-(place[1] + lowest.min())).clamp(min=0)
        places[start:end, which] = place
    return places


def _above_floor(ball: Float[Tensor, "*n 3"], ankle: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """One end of a foot, tilted up to the floor if it was below; as far from the other end as before."""
    foot = ball - ankle
    flat = foot * foot.new_tensor([1, 0, 1])
    length = (foot.square().sum(-1) - ankle[..., 1].square()).clamp(min=0).sqrt()
    tilted = F.normalize(flat, dim=-1) * length[..., None] - ankle * ankle.new_tensor([0, 1, 0])
    return torch.where((ball[..., 1:2] < 0) & (ankle[..., 1:2] >= 0), ankle + tilted, ball)


def _faded(values: Float[Tensor, "t n"], known: Bool[Tensor, " t"]) -> Float[Tensor, "t n"]:
    """Values of the known frames, and for those between what fades to 0, or from one to the other."""
    frames, far = torch.arange(len(values)).to(values.device), 10 * len(values) + BLEND
    before = torch.where(known, frames, -far).cummax(0).values
    after = torch.where(known, frames, far).flip(0).cummin(0).values.flip(0)
    span = (after - before).clamp(max=BLEND)
    total = torch.zeros_like(values)
    for at in (before, after):
        rest = (1 - (frames - at).abs() / span.clamp(min=1)).clamp(min=0)[:, None].to(values)
        total = total + values[at.clamp(0, len(values) - 1)] * rest.square() * (3 - 2 * rest)
    return torch.where(known[:, None], values, total)


def _missing(
    points: Float[Tensor, "t 22 3"], leg: tuple[int, int, int, int], ankle: Float[Tensor, "t 3"]
) -> Float[Tensor, " t"]:
    """By how much the hip is too high for the foot to reach ``ankle``, metres; below 0 where it is not."""
    hip = points[:, leg[0]]
    flat = (ankle - hip)[:, (0, 2)].square().sum(-1)
    reach = _reach(points, leg).square() - flat
    return hip[:, 1] - ankle[:, 1] - reach.clamp(min=0).sqrt()


def _bent(
    points: Float[Tensor, "t 22 3"],
    hip: Float[Tensor, "t 3"],
    leg: tuple[int, int, int, int],
    ankle: Float[Tensor, "t 3"],
) -> tuple[Tensor, Tensor]:
    """Knee and ankle of a leg that reaches from ``hip`` for ``ankle``, by the law of cosines."""
    thigh, shin = _lengths(points, leg)
    was, now = points[:, leg[2]] - points[:, leg[0]], ankle - hip
    distance = now.norm(dim=-1).clamp(min=1e-6)
    distance = torch.minimum(torch.maximum(distance, (thigh - shin).abs()), _reach(points, leg))
    along = F.normalize(now, dim=-1)
    turned = rotation_between(was, now)
    # A straight knee bends forwards, as the foot points.
    need = (now - was).norm(dim=-1, keepdim=True).clamp(max=0.02) / 0.02
    knee = points[:, leg[1]] - points[:, leg[0]]
    foot = F.normalize(points[:, leg[3]] - points[:, leg[2]], dim=-1)
    side = (turned @ (knee + 0.03 * need * foot)[..., None]).squeeze(-1)
    side = F.normalize(side - (side * along).sum(-1, keepdim=True) * along, dim=-1)
    forward = (thigh.square() - shin.square() + distance.square()) / (2 * distance)
    off = (thigh.square() - forward.square()).clamp(min=0).sqrt()
    bend = hip + forward[:, None] * along + off[:, None] * side
    return bend, hip + distance[:, None] * along


def _lengths(points: Float[Tensor, "t 22 3"], leg: tuple[int, int, int, int]) -> tuple[Tensor, Tensor]:
    """Of thigh and shin [t]."""
    hip, knee, ankle = (points[:, j] for j in leg[:3])
    return (knee - hip).norm(dim=-1), (ankle - knee).norm(dim=-1)


def _reach(points: Float[Tensor, "t 22 3"], leg: tuple[int, int, int, int]) -> Float[Tensor, " t"]:
    """How far the ankle may be from the hip: a little less than a straight leg, unless it was straight."""
    was = (points[:, leg[2]] - points[:, leg[0]]).norm(dim=-1)
    return torch.maximum(STRETCH * torch.stack(_lengths(points, leg)).sum(0), was)


def _envelope(values: Float[Tensor, " t"]) -> Float[Tensor, " t"]:
    """A smooth curve that is nowhere below the values, nor below 0."""
    width = 2 * BLEND + 1
    top = F.max_pool1d(values.clamp(min=0)[None], width, stride=1, padding=BLEND)
    return F.avg_pool1d(top, width, stride=1, padding=BLEND, count_include_pad=False)[0]


def _height(y: Float[Tensor, " t"]) -> Float[Tensor, "t 1 3"]:
    return F.pad(y[:, None, None], (1, 1))
