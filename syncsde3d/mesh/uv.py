"""Texture coordinates that can be painted on: the file's own where they are usable, else new ones.

Usable means: every face has its own place in the unit square, at a sensible size. Whole islands are moved
by integers, or the layout is fitted into the square, if nothing else is wrong with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from syncsde3d.mesh import box_charts, uv_raster

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray

    from syncsde3d.mesh.types import Mesh

GUTTER = 8  # texels between islands, where so much can be had
MAX_OVERLAP = 0.01  # of the covered texels
MIN_COVERAGE = 0.1  # of the texture
MAX_COLLAPSED = 0.02  # of the surface, with less than 1 % of the mean number of texels per area
MAX_STRETCH = 8.0  # times the usual; beyond, a face of xatlas' layout is torn
PACKING_SECONDS = 60.0
MAX_XATLAS_FACES = 400_000  # beyond, xatlas takes hours

Layout = tuple["ndarray", "ndarray"]  # texture coordinates [t, 2], indices [f, 3]


def ensure_uvs(mesh: Mesh, texture_size: int = 1024, time_limit: float = 60.0) -> Mesh:
    """The mesh with texture coordinates in [0, 1] that give every face a place of its own.

    Usable coordinates of the file are kept. Others are replaced by xatlas' in a process of its own; if it
    fails or is not done after ``time_limit`` seconds, by a layout along the axes (:mod:`~.box_charts`) that
    takes seconds: as dense in the middle, a quarter less so where faces are oblique, with more seams.
    Vertices and faces stay as they are; a note says what was done and why.

    Args:
        texture_size: texels per side of the texture to be painted; islands lie 8 texels apart, or less if
            there are very many.
        time_limit: seconds for xatlas; 0 to do without it.

    Raises:
        ValueError: ``texture_size`` or ``time_limit`` out of range.
    """
    if texture_size < 16:
        raise ValueError(f"texture_size: got {texture_size}, expected 16 or more")
    if time_limit < 0:
        raise ValueError(f"time_limit: got {time_limit}, expected 0 or more seconds")
    vertices, faces = mesh.vertices.cpu().numpy(), mesh.faces.cpu().numpy()
    reason = "has none"
    if mesh.uvs is not None and mesh.uv_faces is not None:
        own = mesh.uvs.double().cpu().numpy(), mesh.uv_faces.cpu().numpy()
        layout, text = _usable(own, vertices[faces].astype(np.float64), texture_size)
        if layout is not None:
            return _with(mesh, layout, f"kept the file's texture coordinates{text}")
        reason = text
    start = time.perf_counter()
    layout, how = unwrap(vertices, faces, texture_size, time_limit)
    used = _describe(layout, texture_size)
    seconds = time.perf_counter() - start
    return _with(mesh, layout, f"unwrapped {how} in {seconds:.1f} s, as the file {reason}: {used}")


def _with(mesh: Mesh, layout: Layout, note: str) -> Mesh:
    device = mesh.vertices.device
    uvs = torch.from_numpy(np.ascontiguousarray(layout[0], np.float32)).to(device)
    return mesh.with_uvs(uvs, torch.from_numpy(np.ascontiguousarray(layout[1], np.int64)).to(device), note)


def _describe(layout: Layout, size: int) -> str:
    """Islands and used share of the texture, in words."""
    uvs, faces = layout
    count = int(uv_raster.islands(faces, len(uvs))[faces].max()) + 1
    texel, _ = uv_raster.covered_texels(uvs[faces], size)
    return f"{count} island{'s' if count > 1 else ''} on {len(np.unique(texel)) / size**2:.0%} of the texture"


def _usable(own: Layout, corners: Float[ndarray, "f 3 3"], size: int) -> tuple[Layout | None, str]:
    """The file's layout, moved into the unit square, and what was done; or None, and what is wrong."""
    uvs, faces = own
    if not np.isfinite(uvs).all():
        return None, "has some that are not finite"
    slack = 0.5 / size
    if uvs.min() >= -slack and uvs.max() <= 1 + slack:
        attempts = [(uvs.clip(0, 1), "")]
    else:
        attempts = [_shift_islands(uvs, faces, slack), _fit(uvs)]
    wrong = ""
    for moved, text in attempts:
        if moved is None:
            continue
        wrong = _defect(moved[faces], corners, size)
        if not wrong:
            return (moved, faces), f"{text}: {_describe((moved, faces), size)}"
    return None, wrong


def _shift_islands(
    uvs: Float[ndarray, "t 2"], faces: Int[ndarray, "f 3"], slack: float
) -> tuple[ndarray | None, str]:
    """Every island moved by integers into the unit square; None if one does not fit."""
    label = uv_raster.islands(faces, len(uvs))
    low, high = np.full((label.max() + 1, 2), np.inf), np.full((label.max() + 1, 2), -np.inf)
    np.minimum.at(low, label, uvs)
    np.maximum.at(high, label, uvs)
    shift = -np.floor(low + slack)
    if (high + shift > 1 + slack).any():
        return None, ""
    moved = int((shift != 0).any(1).sum())
    return (uvs + shift[label]).clip(0, 1), f", {moved} islands moved by whole units into the unit square"


def _fit(uvs: Float[ndarray, "t 2"]) -> tuple[ndarray, str]:
    """The whole layout scaled down, if it must be, and moved no farther than into the unit square."""
    low, high = uvs.min(0), uvs.max(0)
    scale = min(1.0, 1 / (high - low).max())
    target = (low * scale).clip(0, 1 - (high - low) * scale)
    return ((uvs - low) * scale + target).clip(0, 1), f", scaled by {scale:.3f} to fit the unit square"


def _defect(uv: Float[ndarray, "f 3 2"], corners: Float[ndarray, "f 3 3"], size: int) -> str:
    """What makes a layout within the unit square unusable; "" if nothing does."""
    edge_u, edge_v = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = np.abs(edge_u[:, 0] * edge_v[:, 1] - edge_u[:, 1] * edge_v[:, 0]) / 2
    surface = (
        np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    )
    if area.sum() > 1 + MAX_OVERLAP:
        return f"has texture coordinates that overlap (they cover the texture {area.sum():.1f} times)"
    density = area.sum() / surface.sum()
    collapsed = surface[area < 0.01 * density * surface].sum() / surface.sum() if density > 0 else 1.0
    if collapsed > MAX_COLLAPSED:
        return f"has texture coordinates without extent on {collapsed:.0%} of the surface"
    counts = np.bincount(uv_raster.covered_texels(uv, size)[0], minlength=size**2)
    used = int((counts > 0).sum())
    overlap = int((counts > 1).sum()) / max(used, 1)
    if overlap > MAX_OVERLAP:
        return f"has texture coordinates that overlap on {overlap:.0%} of their area"
    if used < MIN_COVERAGE * size**2:
        return f"has texture coordinates on only {used / size**2:.1%} of the texture"
    return ""


def unwrap(
    vertices: Float[ndarray, "v 3"], faces: Int[ndarray, "f 3"], texture_size: int, time_limit: float
) -> tuple[Layout, str]:
    """A new layout, and how it was made, in words."""
    corners = vertices[faces].astype(np.float64)
    inputs = {"vertices": vertices.astype(np.float32), "faces": faces.astype(np.uint32)}
    if len(faces) > MAX_XATLAS_FACES:
        why = f"xatlas would take too long for {len(faces):,} faces"
    elif time_limit == 0:
        why = "xatlas was not wanted"
    else:
        layout, why = _xatlas(inputs, corners, texture_size, GUTTER, time_limit)
        if layout is not None:
            return layout, "with xatlas"
    uvs, uv_faces, gap = box_charts.box_unwrap(vertices, faces, texture_size, GUTTER)
    layout = None
    if time_limit:
        inputs = {"uvs": uvs.astype(np.float32), "faces": uv_faces.astype(np.uint32)}
        seconds = min(time_limit, PACKING_SECONDS)
        layout, _ = _xatlas(inputs, corners, texture_size, int(gap), seconds)
    return layout or (uvs, uv_faces), f"along the axes ({why})"


def _xatlas(
    inputs: dict[str, ndarray], corners: Float[ndarray, "f 3 3"], size: int, gutter: int, seconds: float
) -> tuple[Layout | None, str]:
    """The layout that :mod:`~.xatlas_worker` makes in a child process, or None and what went wrong."""
    worker = Path(__file__).with_name("xatlas_worker.py").read_text("utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with tempfile.TemporaryDirectory(prefix="syncsde3d-") as folder:
        source, target = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(source, **inputs)  # type: ignore
        arguments = [str(source), str(target), str(size), str(gutter), str(seconds)]
        try:
            subprocess.run(
                [sys.executable, "-c", worker, *arguments],
                timeout=seconds,
                check=True,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
            )
        except subprocess.TimeoutExpired:
            return None, f"xatlas was not done after {seconds:g} s"
        except subprocess.CalledProcessError as error:
            last = error.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            return None, f"xatlas failed: {last[0][:120] if last else f'exit status {error.returncode}'}"
        except OSError as error:
            return None, f"xatlas could not be started: {error.strerror}"
        if not target.exists():
            return None, "xatlas failed: it left no result"
        with np.load(target) as result:
            layout = result["uvs"].astype(np.float64), result["faces"].astype(np.int64)
    return _checked(layout, corners, size)


def _checked(layout: Layout, corners: Float[ndarray, "f 3 3"], size: int) -> tuple[Layout | None, str]:
    """xatlas' layout with its strays drawn in, or None and what is wrong with it.

    xatlas may leave corners of faces without area anywhere. Such a face shrinks to a corner that it shares
    with a sound one.
    """
    uvs, faces = layout
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    longest = [np.linalg.norm(x - np.roll(x, 1, 1), axis=-1).max(1) for x in (uvs[faces], corners)]
    stretch = longest[0] / np.maximum(longest[1], 1e-30)
    outside = np.logical_or.reduce((uvs < -0.5 / size) | (uvs > 1 + 0.5 / size), axis=1)
    usual = np.median(stretch[area >= np.median(area)])
    stray = (stretch > MAX_STRETCH * usual) | np.logical_or.reduce(outside[faces], axis=1)
    if area[stray].sum() > 1e-3 * area.sum():
        return None, f"xatlas tore {int(stray.sum())} faces"
    sound = np.zeros(len(uvs), bool)
    sound[faces[~stray]] = True
    keep = np.take_along_axis(faces, sound[faces].argmax(1)[:, None], 1)
    faces = np.where(stray[:, None], keep, faces)
    uvs = uvs.clip(0, 1)
    counts = np.bincount(uv_raster.covered_texels(uvs[faces], size)[0], minlength=size**2)
    if (counts > 1).sum() > MAX_OVERLAP * (counts > 0).sum():
        return None, "xatlas' charts overlap"
    return (uvs, faces), ""
