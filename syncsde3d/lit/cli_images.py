"""The ``syncsde3d wide | masked | ambiguous | edit`` commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

Shared = Callable[[argparse.ArgumentParser, str], None]

_WIDE = """examples:
  syncsde3d wide "a mountain range with snow" --width 2048
  syncsde3d wide "a city at night" --width 2048 --wrap                a panorama of 360 degrees
  syncsde3d wide --prompt-at 0 "a forest" --prompt-at 1 "a city"      prompts that change across the picture
  syncsde3d wide "a beach" --width 40000 --stream                     memory does not grow with the width
  syncsde3d wide "a beach" --extend renders/wide/a_beach --width 3072 --out renders/wider
  syncsde3d wide "a beach" --start-from holiday.jpg --width 2048      continue a picture to the right
  syncsde3d wide prompts.txt                                          a table: .txt, .csv or .jsonl
"""
_MASKED = """examples:
  syncsde3d masked --background "a beach" --foreground "a red boat" --mask boat.png \\
      --prompt "a beach with a red boat"
  syncsde3d masked scenes.jsonl                                       a table: .csv or .jsonl
White is inside of a mask, grey is soft; for several regions repeat --foreground and --mask.
"""
_AMBIGUOUS = """examples:
  syncsde3d ambiguous "a horse" "a snowy village" --view rotate180
  syncsde3d ambiguous "a vase" "a cat" "a ship" --view rotate90 --view flip_vertical
  syncsde3d ambiguous "a horse" "a village" --model deepfloyd          64, 256, 1024 pixels; gated weights
views: rotate_90, rotate_180, rotate_270, flip_vertical, flip_horizontal, skew, inner_circle, patches, jigsaw
"""
_EDIT = """examples:
  syncsde3d edit cat.png --from cat --to dog
  syncsde3d edit cat.png --source-prompt "a cat on a sofa" --target-prompt "a dog on a sofa"
  syncsde3d edit cat.png --from cat --to dog --mask cat_mask.png
  syncsde3d edit cat.png --to dog                                      described by BLIP, if it is there
"""


def add_images(commands: Any, shared: Shared) -> None:
    """Register the commands. shared: adds the options of every generating command."""
    wide = _command(commands, "wide", "a picture of any size from a prompt", _WIDE)
    wide.add_argument("source", nargs="?", help="what it shows; or a .txt, .csv or .jsonl table of prompts")
    wide.add_argument("--width", type=int, help="pixels (four windows)")
    wide.add_argument("--height", type=int, help="pixels (one window)")
    wide.add_argument("--window", type=int, help="pixels along a side of a window (the model's own)")
    wide.add_argument("--stride", type=int, help="pixels between windows (a quarter of the window)")
    wide.add_argument("--wrap", action="store_true", default=None, help="360 degrees: the ends meet")
    wide.add_argument("--blend", type=int, help="latents over which a window fades in (12)")
    wide.add_argument("--stream", action="store_true", default=None, help="window by window, flat memory")
    wide.add_argument(
        "--prompt-at",
        nargs=2,
        action="append",
        metavar=("SHARE", "PROMPT"),
        help="a prompt at a share of the width, 0 left, 1 right; repeat it",
    )
    wide.add_argument("--extend", metavar="FOLDER", help="continue an earlier result to the right")
    wide.add_argument("--start-from", metavar="PICTURE", help="continue a picture to the right")
    _finish(wide, shared, _wide)

    masked = _command(commands, "masked", "a picture with prompts for masked regions", _MASKED)
    masked.add_argument("source", nargs="?", help="a .csv or .jsonl table, in place of the options")
    masked.add_argument("--prompt", default="", help="what the whole picture shows")
    masked.add_argument("--background", default="", help="what is outside of all masks")
    masked.add_argument("--foreground", action="append", default=[], help="what is in a mask")
    masked.add_argument("--mask", action="append", default=[], help="a picture file, white inside")
    masked.add_argument("--width", type=int, help="pixels (the model's own)")
    masked.add_argument("--height", type=int, help="pixels (the model's own)")
    _finish(masked, shared, _masked)

    ambiguous = _command(commands, "ambiguous", "a picture that shows something else turned", _AMBIGUOUS)
    ambiguous.add_argument("source", nargs="+", help="the prompts; or a .txt, .csv or .jsonl table")
    ambiguous.add_argument(
        "--view", action="append", help="how a prompt after the first is seen (rotate_180); repeat it"
    )
    ambiguous.add_argument("--degrees", type=float, help="by which inner_circle turns (45)")
    ambiguous.add_argument("--pieces", type=int, help="along a side, of patches and jigsaw (4)")
    ambiguous.add_argument("--second", help="hub id or folder of a pixel model that enlarges the pictures")
    ambiguous.add_argument("--upscaler", help="hub id or folder of the upscaler after it")
    _finish(ambiguous, shared, _ambiguous)

    edit = _command(commands, "edit", "replace what a picture shows", _EDIT)
    edit.add_argument("source", help="a picture; or a .csv or .jsonl table")
    edit.add_argument("--from", dest="source_words", help="words of the source prompt to replace")
    edit.add_argument("--to", dest="target_words", help="what to replace them with")
    edit.add_argument("--source-prompt", help="what the picture shows")
    edit.add_argument("--target-prompt", help="what it shall show")
    edit.add_argument("--mask", help="a picture file, white where to edit, in place of finding the region")
    edit.add_argument("--find", choices=("attention", "contrast"), help="how the region is found")
    edit.add_argument("--threshold", type=float, help="from what share of its maximum on (0.3, contrast 0.4)")
    edit.add_argument("--captioner", help="hub id or folder of the BLIP model that describes the picture")
    edit.add_argument("--matcher", help="hub id or folder of the CLIP model that finds the word to replace")
    edit.add_argument("--refine", type=int, help="network calls that make the inversion more exact (2)")
    _finish(edit, shared, _edit)


def _command(commands: Any, name: str, what: str, examples: str) -> argparse.ArgumentParser:
    kind = argparse.RawDescriptionHelpFormatter
    return commands.add_parser(name, help=what, description=what, epilog=examples, formatter_class=kind)


def _finish(parser: argparse.ArgumentParser, shared: Shared, run: Callable[..., int]) -> None:
    """The options that all image commands have."""
    name = parser.prog.split()[-1]
    shared(parser, "'embedded' (default), a hub id, or a folder in diffusers' layout")
    parser.add_argument("--out", default=f"renders/{name}", help="where results go, a folder per picture")
    parser.add_argument("--guidance", dest="guidance_scale", type=float, help="weight of the prompts")
    parser.add_argument("--negative-prompt", help="what to steer away from")
    parser.add_argument("--preset", choices=("default", "paper", "embedded"), help="settings to start from")
    parser.add_argument(
        "--low-memory", action="store_true", default=None, help="decode in tiles; SD 3 without T5"
    )
    parser.set_defaults(run=run)


_OPTIONS = (
    "model",
    "preset",
    "steps",
    "scheduler",
    "inv_lambda",
    "strategy",
    "dtype",
    "max_batch",
    "guidance_scale",
    "negative_prompt",
    "low_memory",
)


def _predict(
    kind: type, task: str, options: argparse.Namespace, own: tuple[str, ...], rows: list[dict[str, Any]]
) -> int:
    """Run the module of a command on a table, or on rows made of its arguments."""
    from syncsde3d.lit.image_data import PromptDataModule
    from syncsde3d.lit.image_writer import ImageWriter
    from syncsde3d.lit.run import predict

    given = {k: v for k in (*_OPTIONS, *own) if (v := getattr(options, k)) is not None}
    what: dict[str, Any] = {"rows": rows} if rows else {"source": options.source}
    data = PromptDataModule(
        task=task,  # pyright: ignore[reportArgumentType]
        seed=options.seed,
        extend=getattr(options, "extend", None),
        **what,
    )
    return predict(kind(**given), data, ImageWriter(options.out, options.overwrite), options.devices)


def is_table(text: str | None) -> bool:
    """Whether an argument names a table rather than saying what a picture shows."""
    return text is not None and Path(text).suffix.lower() in (".csv", ".jsonl", ".txt")


def _wide(options: argparse.Namespace) -> int:
    from syncsde3d.lit.wide import WideImage

    own = ("width", "height", "window", "stride", "wrap", "blend", "stream")
    row = {"prompt": options.source, "prompt_at": options.prompt_at, "start_from": options.start_from}
    if options.source is None and not options.prompt_at:
        raise ValueError("prompt: none, expected a prompt, --prompt-at or a table")
    rows = [] if is_table(options.source) else [{k: v for k, v in row.items() if v is not None}]
    return _predict(WideImage, "wide", options, own, rows)


def _masked(options: argparse.Namespace) -> int:
    from syncsde3d.lit.masked import MaskedImage

    if options.source is not None:
        if not is_table(options.source):
            raise ValueError(f"source: '{options.source}' is no table, expected .csv or .jsonl")
        return _predict(MaskedImage, "masked", options, ("width", "height"), [])
    if len(options.foreground) != len(options.mask) or not options.mask:
        raise ValueError(
            f"mask: expected one for each --foreground and at least one, got {len(options.mask)} for "
            f"{len(options.foreground)}"
        )
    regions = [{"prompt": p, "mask": m} for p, m in zip(options.foreground, options.mask, strict=True)]
    row = {"prompt": options.prompt, "background": options.background, "regions": regions}
    return _predict(MaskedImage, "masked", options, ("width", "height"), [row])


def _ambiguous(options: argparse.Namespace) -> int:
    from syncsde3d.lit.ambiguous import AmbiguousImage

    own = ("degrees", "pieces", "second", "upscaler")
    if len(options.source) == 1 and is_table(options.source[0]):
        options.source = options.source[0]
        return _predict(AmbiguousImage, "ambiguous", options, own, [])
    row = {"prompts": options.source, "views": options.view or ["rotate_180"] * (len(options.source) - 1)}
    return _predict(AmbiguousImage, "ambiguous", options, own, [row])


def _edit(options: argparse.Namespace) -> int:
    from syncsde3d.lit.editing import ImageEditing

    own = ("find", "threshold", "refine", "captioner", "matcher")
    row = {
        "image": options.source,
        "source_prompt": options.source_prompt,
        "target_prompt": options.target_prompt,
        "from": options.source_words,
        "to": options.target_words,
        "mask": options.mask,
    }
    rows = [] if is_table(options.source) else [{k: v for k, v in row.items() if v is not None}]
    return _predict(ImageEditing, "edit", options, own, rows)
