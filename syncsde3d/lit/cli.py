"""The ``syncsde3d`` command: plain arguments for one kind of job, LightningCLI for data sets.

Exit codes: 0 everything succeeded, 1 an item failed (each is named, with the reason), 2 bad usage.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from syncsde3d.lit.cli_images import add_images
from syncsde3d.lit.cli_motion import add_motion

_DATA = Path(__file__).parents[2] / "data"
DEMO_PROMPT = "a green marble handbag"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _quiet()
    if arguments[:1] and arguments[0] in ("predict", "fit"):
        from syncsde3d.lit.lightning_cli import run

        return run(arguments)
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("syncsde3d: interrupted; finished items are kept", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        from syncsde3d.lit.items import one_line

        print(f"syncsde3d {options.command}: {one_line(error)}", file=sys.stderr)
        return 2


def _quiet() -> None:
    """Keep the terminal to what a user can act on."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="syncsde3d", description="Synchronised diffusion for 3D and motion."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    texture = commands.add_parser("texture", help="texture meshes from a prompt")
    texture.add_argument("source", help="a mesh, a folder, a glob pattern, or a .csv/.jsonl table")
    texture.add_argument("--prompt", default="", help="what the object should look like")
    texture.add_argument("--out", default="renders/texture", help="where results go, a folder per mesh")
    texture.add_argument("--texture-size", type=int, help="texels along a side of the texture")
    texture.add_argument(
        "--refine", action="store_true", default=None, help="sharpen the texture by optimisation"
    )
    _image_model(texture)
    texture.set_defaults(run=_texture)

    demo = commands.add_parser("demo", help="texture a bundled mesh, with nothing to download")
    demo.add_argument("--out", default="renders/demo")
    _image_model(demo)
    demo.set_defaults(run=_demo)

    add_motion(commands, _shared)
    add_images(commands, _shared)

    info = commands.add_parser("info", help="versions, devices, rasterizers and models found")
    info.set_defaults(run=_info)

    commands.add_parser("predict", help="run a data set from a YAML file: --config FILE", add_help=False)
    commands.add_parser("fit", help="train an embedded model from a YAML file: --config FILE", add_help=False)
    return parser


def _shared(parser: argparse.ArgumentParser, model: str) -> None:
    """Options that every generating command has; those left out keep the module's own defaults."""
    parser.add_argument("--model", help=model)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="sampling steps")
    parser.add_argument("--scheduler", help="ddim, ddpm, dpm++, unipc, euler, lcm or flow-euler")
    parser.add_argument("--inv-lambda", type=float, help="strength of the synchronisation, 1/lambda")
    parser.add_argument("--strategy", help="syncsde, consensus, synctweedies, ..., independent")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), help="the network's precision")
    parser.add_argument("--max-batch", type=int, help="most rows in one network call; lower it for memory")
    parser.add_argument("--devices", default="auto", help="number of devices, or 'auto'")
    parser.add_argument("--overwrite", action="store_true", help="redo items that are already finished")


def _image_model(parser: argparse.ArgumentParser) -> None:
    """Options of commands that draw pictures with a depth-conditioned model."""
    _shared(parser, "'embedded' (default), 'closed-form', a hub id or a local folder")
    parser.add_argument("--controlnet", help="hub id or folder of the depth ControlNet")
    parser.add_argument("--preset", choices=("default", "paper", "embedded"), help="settings to start from")
    parser.add_argument("--guidance", dest="guidance_scale", type=float, help="weight of the prompt")
    parser.add_argument("--negative-prompt", help="what to steer away from")
    parser.add_argument("--low-memory", action="store_true", default=None, help="decode in tiles")


_MODULE_OPTIONS = (
    "model",
    "controlnet",
    "preset",
    "steps",
    "scheduler",
    "inv_lambda",
    "guidance_scale",
    "negative_prompt",
    "strategy",
    "dtype",
    "max_batch",
    "low_memory",
    "texture_size",
    "refine",
)


def _texture(options: argparse.Namespace) -> int:
    from syncsde3d.lit.datamodules import MeshDataModule
    from syncsde3d.lit.run import predict
    from syncsde3d.lit.texturing import MeshTexturing
    from syncsde3d.lit.writers import TexturedMeshWriter

    given = {k: v for k in _MODULE_OPTIONS if (v := getattr(options, k, None)) is not None}
    data = MeshDataModule(options.source, options.prompt, options.seed)
    writer = TexturedMeshWriter(options.out, overwrite=options.overwrite)
    return predict(MeshTexturing(**given), data, writer, options.devices)


def _demo(options: argparse.Namespace) -> int:
    options.source, options.prompt = str(_DATA / "meshes/handbag.obj"), DEMO_PROMPT
    if not Path(options.source).is_file():
        raise ValueError(f"'{options.source}' is missing; the demo runs from a clone of the repository")
    return _texture(options)


def _info(options: argparse.Namespace) -> int:
    from syncsde3d.lit.info import describe

    for name, value in describe().items():
        print(f"{name:24} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
