"""Model files of the SMPL family, as their makers distribute them, read without running what is in them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from syncsde3d.motion.skeleton import JOINTS, PARENTS
from syncsde3d.motion.smpl import Body

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS = {"smpl": "SMPL", "smplh": "SMPLH", "smplx": "SMPLX"}
_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")
_SITES = "https://smpl.is.tue.mpg.de, https://mano.is.tue.mpg.de (SMPL-H) or https://smpl-x.is.tue.mpg.de"
#: All that a model's pickle may build: arrays, sparse matrices, and chumpy's arrays, which become plain ones.
_ALLOWED = {
    "numpy": {"_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer"},
    "scipy": {"csc_matrix", "csr_matrix", "coo_matrix"},
    "copyreg": {"_reconstructor"},
    "builtins": {"object"},
    "_codecs": {"encode"},
}


def find_body(path: str | os.PathLike[str], gender: str = "neutral") -> Path:
    """The file that :func:`load_body` reads. Raises ValueError where there is none."""
    return _find(Path(path).expanduser(), gender)


def load_body(path: str | os.PathLike[str], gender: str = "neutral") -> Body:
    """A body from a model file, ``.npz`` or ``.pkl``, or the first one in a folder laid out as smplx's.

    gender: "neutral", "male" or "female"; which file of the folder to take. In the folder, or its subfolders
    ``smpl``, ``smplh``, ``smplx``, the files ``SMPL_NEUTRAL.npz`` and so on are looked for, then ``.pkl``.
    A file that is named itself says by its name what it is (``SMPL_MALE.npz``, ``basicmodel_m_...``).

    Raises:
        ValueError: in one line: no such file (where it was looked for, where to get it), or not a model.
    """
    file = find_body(path, gender)
    arrays = _read(file)
    if missing := [key for key in _KEYS if key not in arrays]:
        raise ValueError(f"'{file}' is not a model of the SMPL family: it lacks {', '.join(missing)}")
    try:
        return _body(arrays, _named_gender(file) or gender)
    except (ValueError, TypeError, IndexError) as error:  # NumPy's, for what are no such arrays, and ours
        reason = " ".join(str(error).split())
        raise ValueError(f"'{file}' is not a model of the SMPL family: {reason}") from error


def _body(arrays: Mapping[str, Any], gender: str) -> Body:
    """The arrays as a body, their shapes checked against each other."""
    table = np.asarray(arrays["kintree_table"]).astype(np.int64)[0]
    parents = (-1, *table[1:].tolist())
    if parents[: len(PARENTS)] != PARENTS:
        raise ValueError(f"it has other joints than the {len(JOINTS)} of SMPL's body")
    values = {key: _dense(arrays[key]).astype(np.float32) for key in _KEYS[:5]}
    faces = _dense(arrays["f"]).astype(np.int64)
    count, joints = len(values["v_template"]), len(parents)
    if values["posedirs"].ndim == 2:
        values["posedirs"] = values["posedirs"].reshape(count, 3, -1)
    shapes = (count, 3), (count, 3, values["shapedirs"].shape[-1]), (count, 3, 9 * (joints - 1))
    for key, shape in zip(_KEYS, (*shapes, (joints, count), (count, joints), (len(faces), 3)), strict=False):
        found = values.get(key, faces)
        if found.shape != shape or not np.isfinite(found).all():
            raise ValueError(f"{key} has shape {list(found.shape)}, expected {list(shape)}, all finite")
    if faces.min(initial=0) < 0 or faces.max(initial=0) >= count:
        raise ValueError(f"f names vertices up to {faces.max()}, there are {count}")
    template, betas, poses, regressor, weights = map(torch.from_numpy, values.values())
    return Body(template, betas, poses, regressor, weights, torch.from_numpy(faces), parents, gender)


def _named_gender(file: Path) -> str | None:
    """The gender that the parts of a file's name tell; None: nothing."""
    words = {"neutral": "neutral", "male": "male", "female": "female", "m": "male", "f": "female"}
    return next((words[part] for part in file.stem.lower().split("_") if part in words), None)


def _find(path: Path, gender: str) -> Path:
    if path.is_file():
        return path
    names = [
        Path(folder, f"{prefix}_{gender.upper()}.{suffix}")
        for kind, prefix in _KINDS.items()
        for suffix in ("npz", "pkl")
        for folder in ("", kind)
    ]
    found = next((path / name for name in names if (path / name).is_file()), None)
    if found is None:
        looked = ", ".join(dict.fromkeys(name.name for name in names))
        others = sorted(f for f in path.rglob("SMPL*") if f.suffix in (".npz", ".pkl"))
        if others:
            raise ValueError(f"no {gender} body model in '{path}'; name a file, such as '{others[0]}'")
        raise ValueError(
            f"no body model in '{path}': looked there, and in smpl, smplh, smplx, for {looked}; "
            f"they are free for research after registration at {_SITES}"
        )
    return found


def _read(file: Path) -> Mapping[str, Any]:
    try:
        if file.suffix.lower() == ".npz":
            with np.load(file, allow_pickle=False) as archive:
                return {key: archive[key] for key in _KEYS if key in archive.files}
        with file.open("rb") as stream:
            found = _Unpickler(stream, encoding="latin1").load()
            return found if isinstance(found, dict) else {}
    except Exception as error:  # both formats fail in many ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"'{file}' cannot be read as a model of the SMPL family: {reason}") from error


class _Chumpy:
    """Stands for chumpy's array: an object whose value is in ``x``."""

    x: Any


class _Unpickler(pickle.Unpickler):
    """Builds arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        package = {"copy_reg": "copyreg", "__builtin__": "builtins"}.get(module, module).split(".")[0]
        if package == "chumpy":
            return _Chumpy
        if name not in _ALLOWED.get(package, ()):
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}")
        if package == "scipy":
            module = "scipy.sparse"
        return super().find_class(module, name)


def _dense(value: Any) -> np.ndarray:
    """A plain array of an array, a sparse matrix or chumpy's array."""
    if isinstance(value, _Chumpy):
        value = vars(value).get("x")
    return np.asarray(value.toarray() if hasattr(value, "toarray") else value)
