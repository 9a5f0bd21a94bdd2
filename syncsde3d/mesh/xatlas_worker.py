"""Unwrapping with xatlas in a process of its own, which can be stopped: it may take hours or hang.

Run as ``python -c <this file's text> input.npz output.npz texture_size gutter seconds``; so the file
imports nothing of ours. The input holds ``faces`` and either ``vertices``, to be unwrapped, or ``uvs``,
charts to be packed.
"""

from __future__ import annotations

import signal
import sys

import numpy as np
import xatlas

ROUNDS = 8
UNIT = 1024.0  # xatlas takes areas below 1e-7 for none, so it is given a mesh of this radius


def unwrap(vertices, faces, size, gutter):
    """Charts of a mesh, packed into ``size`` texels with ``gutter`` of them between charts.

    xatlas pads each chart on both sides. Many charts would leave little but gaps: then these shrink, to no
    less than 2 texels. Returns texture coordinates [t, 2] and indices [f, 3].
    """
    atlas = xatlas.Atlas()
    atlas.add_mesh(vertices * np.float32(UNIT), faces)
    pack = xatlas.PackOptions()
    pack.resolution, pack.padding = size, (gutter + 1) // 2
    atlas.generate(xatlas.ChartOptions(), pack)
    original, index, uvs = atlas.get_mesh(0)
    if not np.array_equal(original[index], faces):
        raise RuntimeError("xatlas changed the order of the faces")
    pack.padding = int(np.clip(0.1 * size / np.sqrt(max(atlas.chart_count, 1)), 1, pack.padding))
    pack.resolution = 0
    return repack(uvs * [atlas.width, atlas.height] / atlas.texels_per_unit, index, size, pack)


def repack(uvs, index, size, pack):
    """Pack charts, given in any unit, at the largest scale found that fits ``size`` texels.

    xatlas only aims at a resolution, so this searches for the scale: the side of the atlas grows about
    linearly with it, with some noise.
    """
    charts = (uvs * (UNIT / np.ptp(uvs, axis=0).max())).astype(np.float32)
    scale = size / UNIT
    tried, results = [], []
    for _ in range(ROUNDS):
        pack.texels_per_unit = scale
        atlas = xatlas.Atlas()
        atlas.add_uv_mesh(charts, index)
        atlas.generate(xatlas.ChartOptions(), pack)
        side = max(atlas.width, atlas.height)
        _, corners, packed = atlas.get_mesh(0)
        rank = (True, scale) if side <= size else (False, -side)
        results.append((rank, packed * (np.array([atlas.width, atlas.height]) / max(side, size)), corners))
        tried.append((scale, side))
        if 0.98 * size <= side <= size:
            break
        slope = (side - tried[-2][1]) / (scale - tried[-2][0]) if len(tried) > 1 else 0.0
        step = (
            (0.99 * size - side) / slope if slope > 0.2 * side / scale else scale * (0.99 * size / side - 1)
        )
        scale += float(np.clip(step, -0.7 * scale, 0.5 * scale))
    _, uvs, corners = max(results, key=lambda result: result[0])
    return uvs, corners


def main(source, target, size, gutter, seconds):
    """Stop by an alarm even if the parent is gone; POSIX only, elsewhere the parent alone stops it."""
    if hasattr(signal, "alarm"):
        signal.alarm(int(float(seconds)) + 5)
    given = np.load(source)
    if "uvs" in given:
        pack = xatlas.PackOptions()
        pack.padding = (int(gutter) + 1) // 2
        uvs, index = repack(given["uvs"], given["faces"], int(size), pack)
    else:
        uvs, index = unwrap(given["vertices"], given["faces"], int(size), int(gutter))
    np.savez(target, uvs=uvs.astype(np.float32), faces=index.astype(np.int64))


if __name__ == "__main__":
    main(*sys.argv[1:])
