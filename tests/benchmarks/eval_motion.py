"""How well segments join: SyncSDE against other ways to make a long motion of one model.

python tests/benchmarks/eval_motion.py [--model embedded] [--count 64] [--prompts 4] [--steps 20]

Every script is a random order of prompts, 4.5 s each, made in every way from the same noise (shared frames
begin with the same noise in every way). PJ and AUJ are means over joins, in windows of 60 frames around the
middle of the shared frames, in 1e-3 metres per frame cubed; "PJ of mean" is the peak of the mean curve, as
FlowMDM reports it. Velocity change is its largest on the shared frames. The last row is what a perfect join
would measure: half a window of each neighbour's prompt, made alone and away from its ends (a window around a
join holds two prompts, so that its peak is that of the livelier one); its mean jerk is AUJ's reference.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from syncsde3d import LongMotion, MotionItem
from syncsde3d.lit.motion_items import Line
from syncsde3d.metrics.motion import (
    WINDOW,
    area_under_jerk,
    around,
    foot_skating,
    jerk,
    peak_jerk,
    velocity_change,
)
from syncsde3d.motion.types import Motion

PROMPTS = (
    "a person walks forward",
    "a person runs",
    "a person jumps",
    "a person sits down on a chair",
    "a person waves",
    "a person kicks a ball",
    "a person is dancing",
    "a person squats",
    "a person punches",
    "a person turns around",
    "a person picks something up",
    "a person stands in place",
    "a person does jumping jacks",
    "a person jogs in place",
    "a person walks slowly",
    "a person bows",
)
WAYS: dict[str, dict[str, Any]] = {
    "syncsde": {"strategy": "syncsde"},
    "syncsde, the paper's": {"precision": "binary", "blend": "later", "sync_end": 1.0},
    "independent, cut": {"strategy": "independent", "blend": "later"},
    "independent, blend": {"strategy": "independent", "blend": "linear"},
    "synctweedies": {"strategy": "synctweedies", "sync_end": 1.0},
    "handshake": {"strategy": "handshake", "sync_end": 1.0},
}


@dataclass
class Figures:
    """What is known of one way. windows: jerk around joins [n, w]; skating per motion."""

    windows: Tensor
    changes: Tensor  # [n, overlap]
    skating: Tensor
    match: float
    seconds: float

    def row(self, reference: float) -> str:
        peaks, area = peak_jerk(self.windows).mean(), area_under_jerk(self.windows, reference).mean()
        return (
            f"{1e3 * peaks:7.2f} | {1e3 * self.windows.mean(0).max():7.2f} | {1e3 * area:7.1f} | "
            f"{self.changes.amax(-1).mean():7.3f} | {100 * self.skating.mean():7.2f} | {self.match:7.3f} | "
            f"{self.seconds:7.2f}"
        )


def measure(made: LongMotion, items: list[MotionItem], judge: Any, joined: bool = True) -> Figures:
    """Figures of motions around their joins; of single segments around their middle."""
    windows, changes, skating, motions = [], [], [], []
    start = time.perf_counter()
    for item in items:
        motion = made.make(item).motion
        motions.append(motion)
        segments = motion.segments
        places = [(a.end + b.start) // 2 for a, b in zip(segments, segments[1:], strict=False)]
        if not joined:
            places = [len(motion.joints) // 2]
        windows.append(around(jerk(motion.joints), places))
        changes.append(around(velocity_change(motion.joints), places, made.overlap))
        skating.append(foot_skating(motion.joints))
    seconds = (time.perf_counter() - start) / len(items)
    match = judge(motions) if judge else float("nan")
    return Figures(torch.cat(windows), torch.cat(changes), torch.tensor(skating), match, seconds)


def side_by_side(alone: Tensor, prompts: int) -> Tensor:
    """Windows [scripts * prompts, w] of single segments as windows of joins [scripts * (prompts - 1), w]."""
    w = alone.shape[-1]
    middle = alone.view(-1, prompts, w)[..., w // 4 : w // 4 + w // 2]
    return torch.cat((middle[:, :-1], middle[:, 1:]), -1).flatten(0, 1)


def text_match(name: str) -> Any:
    """Share of segments whose own prompt the judge ranks first among all of the run's prompts."""
    from syncsde3d.models.embedded import embedded_folder
    from syncsde3d.models.motion_judge import MotionJudge

    folder = embedded_folder("motion-judge") if name == "embedded" else name
    judge: Any = MotionJudge.from_pretrained(folder)

    @torch.no_grad()
    def match(motions: list[Motion]) -> float:
        texts = judge.encode_texts(PROMPTS)
        right = []
        for motion in motions:
            assert motion.features is not None
            for segment in motion.segments:
                found = judge.encode_motion(motion.features[segment.start : segment.end])
                right.append(int((texts @ found).argmax()) == PROMPTS.index(segment.prompt))
        return sum(right) / len(right)

    return match


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--judge", default="embedded", help="folder of the motion judge, or 'none'")
    parser.add_argument("--count", type=int, default=64, help="scripts")
    parser.add_argument("--prompts", type=int, default=4, help="prompts per script")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--inv-lambda", type=float, default=3.0)
    parser.add_argument("--overlap", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    draw = random.Random(0)
    scripts = [draw.sample(PROMPTS, args.prompts) for _ in range(args.count)]
    items = [
        MotionItem(tuple(Line(p) for p in script), seed=i, id="eval") for i, script in enumerate(scripts)
    ]
    alone = [
        MotionItem((Line(prompt, 2 * WINDOW / 20),), seed=i, id=f"alone-{k}")
        for i, script in enumerate(scripts)
        for k, prompt in enumerate(script)
    ]
    judge = None if args.judge == "none" else text_match(args.judge)
    options = {"steps": args.steps, "inv_lambda": args.inv_lambda, "overlap": args.overlap}
    model = None
    figures = {}
    for name, way in [*WAYS.items(), ("no joins", {})]:
        made = LongMotion(args.model, **options, **way)
        made.model = model
        made.setup("predict")
        model = made.model
        figures[name] = found = measure(made, items if way else alone, judge, joined=bool(way))
    found.windows, found.changes = (side_by_side(x, args.prompts) for x in (found.windows, found.changes))
    reference = float(figures["no joins"].windows.mean())
    print(f"{args.count} scripts of {args.prompts} prompts, {options}, mean jerk {1e3 * reference:.2f}e-3")
    print("| way | PJ | PJ of mean | AUJ | velocity change, m/s | skating, cm/s | text match | s/item |")
    print("|---|---|---|---|---|---|---|---|")
    for name, found in figures.items():
        print(f"| {name:20} | {found.row(reference)} |")


if __name__ == "__main__":
    main()
