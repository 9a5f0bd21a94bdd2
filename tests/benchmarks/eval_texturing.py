"""How good textures are: the judge's opinion of views that took no part in making them.

python tests/benchmarks/eval_texturing.py [--model embedded] [--strategies syncsde independent ...]

The bundled meshes, and `spot` where the development data is there, are textured for held-out combinations of
colour and material; 8 turntable views between the texturing cameras are judged, beside the same views of the
true solid material. Contact sheets go to --out: a row per texture, the true material above it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from syncsde3d.lit.items import MeshItem
from syncsde3d.lit.texturing import MeshTexturing
from syncsde3d.lit.training_common import save_grid
from syncsde3d.lit.training_data import to_unit
from syncsde3d.lit.training_judge import QUESTIONS
from syncsde3d.mesh.cameras import orbit
from syncsde3d.mesh.load import load_mesh
from syncsde3d.mesh.shade import render_textured
from syncsde3d.models.embedded import embedded_folder
from syncsde3d.models.judge import Judge
from syncsde3d.synthetic.buffers import Buffers, render_views
from syncsde3d.synthetic.captions import held_out
from syncsde3d.synthetic.materials import COLOURS, MATERIALS, luminance
from syncsde3d.synthetic.pictures import background, object_picture

ROOT = Path(__file__).resolve().parents[2]
SPOT = ROOT.parent / "shared" / "data" / "meshes" / "spot.obj"
VIEWS = [(22.5 + 45 * k, 15.0) for k in range(8)]


def combinations(name: str, count: int) -> list[tuple[str, str]]:
    """``count`` (colour, material) pairs that training never saw on this object, materials unlike."""
    rng = np.random.default_rng(len(name))
    pairs = [(c, m) for m in MATERIALS for c in COLOURS if m != "plain" and held_out(c, m, name)]
    chosen: dict[str, tuple[str, str]] = {}
    for index in rng.permutation(len(pairs)):
        chosen.setdefault(pairs[index][1], pairs[index])
    return list(chosen.values())[:count]


def true_views(path: Path, name: str, colour: str, material: str) -> torch.Tensor:
    """The judged views of the solid material itself [8, 3, 128, 128] in [-1, 1]."""
    mesh = load_mesh(path)
    fields = render_views(mesh.vertices.numpy(), mesh.faces.numpy(), orbit(VIEWS), 128)
    buffers = Buffers(**fields, names=(name,) * len(VIEWS), views=np.array(VIEWS, np.float32))
    pictures = [
        object_picture(buffers, i, material, colour, np.random.default_rng(3)) for i in range(len(VIEWS))
    ]
    return torch.stack([to_unit(torch.from_numpy(p.image).permute(2, 0, 1)) for p in pictures])


@torch.no_grad()
def opinion(judge: Judge, images: torch.Tensor, colour: str, material: str) -> tuple[float, float]:
    """Shares of the pictures [n, 3, h, w] whose colour and material the judge names rightly."""
    vectors = judge.encode_images(images)

    def share(question: str, answer: str) -> float:
        guess = (vectors @ judge.encode_texts(QUESTIONS[question]).T).argmax(1)
        return float((guess == QUESTIONS[question].index(answer)).float().mean())

    return share("colour", colour), share("material", material)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--judge", help="judge folder; the shipped one if not given")
    parser.add_argument("--strategies", nargs="+", default=["syncsde"])
    parser.add_argument("--inv-lambda", type=float)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--prompts", type=int, default=3, help="for each mesh")
    parser.add_argument("--out", default="renders/eval_texturing")
    args = parser.parse_args()
    judge = Judge.from_pretrained(args.judge or embedded_folder("judge")).float().eval()  # pyright: ignore
    meshes = {"handbag": "handbag.obj", "boot": "boot.glb", "vase": "vase.obj", "cow": "cow.obj"}
    paths = {name: ROOT / "data" / "meshes" / file for name, file in meshes.items()}
    if SPOT.is_file():
        paths["spot"] = SPOT
    rows: dict[str, list[tuple[float, float]]] = {"true material": []}
    sheets: dict[str, list[torch.Tensor]] = {}
    for strategy in args.strategies:
        module = MeshTexturing(
            args.model, strategy=strategy, inv_lambda=args.inv_lambda, guidance_scale=args.guidance
        )
        module.setup("predict")
        rows[strategy], sheets[strategy] = [], []
        for file, path in paths.items():
            name = "cow" if file == "spot" else file
            for colour, material in combinations(name, args.prompts):
                true = true_views(path, name, colour, material)
                start = time.perf_counter()
                done = module.texture(
                    MeshItem(path, f"a {colour} {material} {name}", 0, f"{file}-{material}")
                )
                seconds = time.perf_counter() - start
                shown = float(luminance(done.texture.mean((1, 2)).numpy()))
                plain = background(shown, colour, np.random.default_rng(3)).tolist()
                made = render_textured(done.mesh, done.texture, orbit(VIEWS), (128, 128), background=plain)
                sheets[strategy] += [true, made * 2 - 1]
                rows[strategy].append(opinion(judge, made * 2 - 1, colour, material))
                if strategy == args.strategies[0]:
                    rows["true material"].append(opinion(judge, true, colour, material))
                c, m = rows[strategy][-1]
                print(
                    f"{strategy} {file} {colour} {material}: colour {c:.2f} material {m:.2f} {seconds:.0f} s",
                    flush=True,
                )
        save_grid(torch.cat(sheets[strategy]), Path(args.out) / f"{strategy}.png")
    print("\n| textures | colour | material |\n|---|---|---|")
    for row, values in rows.items():
        colour, material = np.array(values).mean(0)
        print(f"| {row} | {colour:.2f} | {material:.2f} |")


if __name__ == "__main__":
    main()
