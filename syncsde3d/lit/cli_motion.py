"""The ``syncsde3d motion`` command."""

from __future__ import annotations

import argparse
import glob
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

_EXAMPLES = """examples:
  syncsde3d motion "a person walks forward" "a person jumps" --seconds 4 3 --out renders/m1
  syncsde3d motion script.csv --clean-up --fps 30      a script: columns prompt, seconds
  syncsde3d motion "a person walks" "a person runs" --stream --duration 600
  syncsde3d motion "a person sits down" --extend renders/m1/motion --out renders/m2
"""


def add_motion(commands: Any, shared: Callable[[argparse.ArgumentParser, str], None]) -> None:
    """Register the command. shared: adds the options of every generating command."""
    motion = commands.add_parser(
        "motion",
        help="a long motion from prompts",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    motion.add_argument(
        "source", nargs="+", help="what happens, one prompt after the other; or one script, folder or glob"
    )
    motion.add_argument("--seconds", nargs="+", type=float, help="how long: one for all prompts, or one each")
    motion.add_argument("--duration", type=float, help="repeat the prompts for at least this many seconds")
    motion.add_argument("--stream", action="store_true", default=None, help="segment by segment, flat memory")
    motion.add_argument("--extend", metavar="FOLDER", help="continue the motion of an earlier result folder")
    motion.add_argument("--out", default="renders/motion", help="where results go, a folder per script")
    motion.add_argument("--overlap", type=int, help="frames that segments share (30, at 20 per second)")
    motion.add_argument("--precision", help="of shared frames: graded (default), or binary (the paper's)")
    motion.add_argument("--blend", help="on shared frames: linear (default), cosine, or later (the paper's)")
    motion.add_argument("--sync-end", type=float, help="share of the steps that are coupled (0.25; paper: 1)")
    motion.add_argument("--guidance", dest="guidance_scale", type=float, help="weight of the prompts (2.5)")
    motion.add_argument("--fps", type=float, help="frames per second of the exported motion (20)")
    motion.add_argument("--clean-up", action="store_true", default=None, help="hold standing feet still")
    motion.add_argument("--text-encoder", help="hub id or folder of a released checkpoint's text encoder")
    motion.add_argument("--smpl", metavar="PATH", help="SMPL model file or folder: also write that body")
    motion.add_argument("--no-video", action="store_true", help="leave the MP4 out")
    shared(motion, "'embedded' (default), or the folder of an MDM checkpoint")
    motion.set_defaults(run=_motion)


_MODULE_OPTIONS = (
    "model",
    "steps",
    "scheduler",
    "inv_lambda",
    "sync_end",
    "strategy",
    "dtype",
    "max_batch",
    "stream",
    "overlap",
    "precision",
    "blend",
    "guidance_scale",
    "fps",
    "clean_up",
    "text_encoder",
)


def _motion(options: argparse.Namespace) -> int:
    from syncsde3d.lit.motion import LongMotion
    from syncsde3d.lit.motion_data import MotionScriptDataModule
    from syncsde3d.lit.motion_writer import MotionWriter
    from syncsde3d.lit.run import predict

    given = {k: v for k in _MODULE_OPTIONS if (v := getattr(options, k)) is not None}
    what: dict[str, Any] = {"prompts": options.source, "seconds": options.seconds or ()}
    if len(options.source) == 1 and is_script(options.source[0]):
        if options.seconds:
            raise ValueError("seconds: a script has its own")
        what = {"source": options.source[0]}
    elif scripts := [text for text in options.source if is_script(text)]:
        raise ValueError(f"source: expected prompts or one script (a glob in quotes), got '{scripts[0]}' too")
    data = MotionScriptDataModule(**what, seed=options.seed, duration=options.duration, extend=options.extend)
    writer = MotionWriter(options.out, options.overwrite, not options.no_video, options.smpl)
    return predict(LongMotion(**given), data, writer, options.devices)


def is_script(text: str) -> bool:
    """Whether a single argument names scripts rather than saying what happens."""
    if Path(text).suffix.lower() in (".csv", ".yaml", ".yml") or os.path.isdir(text):
        return True
    return glob.has_magic(text) and bool(glob.glob(text, recursive=True))
