"""Long motions to files: one folder per script, whole or not at all."""

from __future__ import annotations

import time
from pathlib import Path

from syncsde3d.io.bvh import write_bvh
from syncsde3d.io.manifest import Manifest, write_manifest
from syncsde3d.io.motion_gltf import write_motion_glb
from syncsde3d.io.motion_video import write_motion_video
from syncsde3d.io.smpl_npz import write_motion_npz
from syncsde3d.io.trajectory import save_trajectories
from syncsde3d.lit.motion_extend import MOTION, TRAJECTORY
from syncsde3d.lit.motion_items import MotionResult
from syncsde3d.lit.writers import ResultWriter
from syncsde3d.motion.resample import resample


class MotionWriter(ResultWriter):
    """Writes per item ``motion.mp4``, ``motion.bvh`` and ``motion.glb`` (an animated skeleton), all at the
    frames per second that the user asked for; ``motion.npz`` (joints, features and the prompts' frames as the
    network made them, 20 per second); ``trajectory.safetensors``, from which the motion can be extended; and
    ``manifest.json``.

    output_dir, overwrite: see :class:`~syncsde3d.lit.writers.ResultWriter`. video: False leaves the MP4 out,
    which takes the most time of a long motion.
    """

    def __init__(
        self, output_dir: str = "renders/motion", overwrite: bool = False, video: bool = True
    ) -> None:
        super().__init__(output_dir, overwrite)
        self.video = video

    def write(self, folder: Path, result: MotionResult) -> None:
        start = time.perf_counter()
        shown = resample(result.motion, result.fps)
        if self.video:
            write_motion_video(folder / "motion.mp4", shown)
        write_bvh(folder / "motion.bvh", shown)
        write_motion_glb(folder / "motion.glb", shown)
        write_motion_npz(folder / MOTION, result.motion)
        if result.trajectory is not None:
            save_trajectories(folder / TRAJECTORY, [result.trajectory])
        item = result.item
        files = {"script": item.script, "extends": item.extends and item.extends / TRAJECTORY}
        manifest = Manifest(
            fingerprint=result.key,
            inputs={name: path for name, path in files.items() if path is not None},
            prompt=tuple(segment.prompt for segment in result.motion.segments),
            seed=item.seed,
            models=result.models,
            settings=result.settings,
            timings={**result.seconds, "write": round(time.perf_counter() - start, 3)},
        )
        write_manifest(folder, manifest, sorted(folder.iterdir()))
