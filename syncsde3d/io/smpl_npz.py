"""Motions as NumPy archives: joints with their prompts, and SMPL parameters in AMASS's layout. No pickles."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import torch

from syncsde3d.io.output import writing
from syncsde3d.motion.rotations import axis_angle_to_matrix, matrix_to_axis_angle, rotation_about
from syncsde3d.motion.skeleton import JOINTS
from syncsde3d.motion.types import Motion, Segment

if TYPE_CHECKING:
    from syncsde3d.motion.smpl import SmplParameters


def write_motion_npz(path: str | os.PathLike[str], motion: Motion) -> None:
    """Save a motion whole: :func:`read_motion_npz` gives it back bit for bit.

    Arrays: ``joints`` [t, 22, 3], metres, +Y up; ``joint_names`` [22]; ``fps``; ``prompts`` [n] with
    ``starts`` and ``ends`` [n], frames, ends exclusive; ``features`` [t, 263] if the motion has them.

    Raises:
        OSError: ``path`` cannot be written.
    """
    arrays = {
        "joints": motion.joints.detach().cpu().numpy(),
        "joint_names": np.array(JOINTS),
        "fps": np.float64(motion.fps),
        "prompts": np.array([segment.prompt for segment in motion.segments], np.str_),
        "starts": np.array([segment.start for segment in motion.segments], np.int64),
        "ends": np.array([segment.end for segment in motion.segments], np.int64),
    }
    if motion.features is not None:
        arrays["features"] = motion.features.detach().cpu().numpy()
    _save(path, arrays)


def read_motion_npz(path: str | os.PathLike[str]) -> Motion:
    """What :func:`write_motion_npz` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is something else, or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        rows = zip(arrays["prompts"], arrays["starts"], arrays["ends"], strict=True)
        return Motion(
            torch.from_numpy(arrays["joints"]),
            float(arrays["fps"]),
            tuple(Segment(str(prompt), int(start), int(end)) for prompt, start, end in rows),
            torch.from_numpy(arrays["features"]) if "features" in arrays else None,
        )
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged archive fails in many ways
        raise ValueError(f"'{path}': expected a saved motion, got another file ({error})") from None


def write_smpl_npz(path: str | os.PathLike[str], parameters: SmplParameters) -> None:
    """Save SMPL parameters as AMASS does, for the tools that read its files.

    As there, +Z is up; ``poses`` [t, 156] is SMPL-H's (root, 21 body joints, hands, which are flat);
    ``trans`` [t, 3], metres; ``betas`` [16]; ``gender``; ``mocap_framerate``.
    https://amass.is.tue.mpg.de

    Raises:
        ValueError: more than 16 betas other than 0.
        OSError: ``path`` cannot be written.
    """
    betas = parameters.betas.detach().double().cpu()
    if betas[16:].any():
        raise ValueError(
            f"betas: {len(betas)} values, expected 0 after the first 16, as AMASS's files have 16"
        )
    orient, transl = (x.double().cpu() for x in (parameters.global_orient, parameters.transl))
    upright, pelvis = (
        rotation_about("X", torch.tensor(torch.pi / 2).double()),
        parameters.pelvis.double().cpu(),
    )
    poses = np.zeros((len(transl), 156), np.float32)
    poses[:, :3] = matrix_to_axis_angle(upright @ axis_angle_to_matrix(orient)).numpy()
    poses[:, 3:66] = parameters.body_pose.cpu().numpy()
    # The body turns about its pelvis, which at rest is not at 0: that offset is not turned.
    trans = (transl + pelvis) @ upright.T - pelvis
    arrays = {
        "poses": poses,
        "trans": trans.numpy(),
        "betas": np.pad(betas[:16].numpy(), (0, max(16 - len(betas), 0))),
        "gender": np.array(parameters.gender),
        "mocap_framerate": np.float64(parameters.fps),
    }
    _save(path, arrays)


def _save(path: str | os.PathLike[str], arrays: dict[str, np.ndarray]) -> None:
    with writing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]
