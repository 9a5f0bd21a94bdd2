"""Long motions to files: one folder per script, whole or not at all."""

from __future__ import annotations

import time
from pathlib import Path

import lightning as L

from syncsde3d.io.bvh import write_bvh
from syncsde3d.io.manifest import Manifest, hash_file, read_manifest, write_manifest
from syncsde3d.io.mesh_sequence import write_mesh_sequence
from syncsde3d.io.motion_gltf import write_motion_glb, write_skinned_glb
from syncsde3d.io.motion_video import write_motion_video
from syncsde3d.io.smpl_files import find_body, load_body
from syncsde3d.io.smpl_npz import write_motion_npz, write_smpl_npz
from syncsde3d.io.trajectory import save_trajectories
from syncsde3d.lit.motion_extend import MOTION, TRAJECTORY
from syncsde3d.lit.motion_items import MotionItem, MotionResult
from syncsde3d.lit.writers import ResultWriter
from syncsde3d.motion.resample import resample
from syncsde3d.motion.smpl import Body, smpl_parameters, smpl_pose, smpl_skin, smpl_vertices
from syncsde3d.motion.types import Motion


class MotionWriter(ResultWriter):
    """Writes per item ``motion.mp4``, ``motion.bvh`` and ``motion.glb`` (an animated mannequin), all at the
    frames per second that the user asked for; ``motion.npz`` (joints, features and the prompts' frames as the
    network made them, 20 per second); ``trajectory.safetensors``, from which the motion can be extended; and
    ``manifest.json``. With a body model also ``smpl.npz`` (its parameters, AMASS's layout), ``smpl.glb`` (it,
    skinned and animated) and ``smpl`` (a folder with its mesh at every frame, OBJ).

    output_dir, overwrite: see :class:`~syncsde3d.lit.writers.ResultWriter`. video: False leaves the MP4 out,
    which takes the most time of a long motion. smpl: an SMPL, SMPL-H or SMPL-X model file, or a folder with a
    neutral one.
    """

    def __init__(
        self,
        output_dir: str = "renders/motion",
        overwrite: bool = False,
        video: bool = True,
        smpl: str | None = None,
    ) -> None:
        super().__init__(output_dir, overwrite)
        self.video, self.smpl = video, smpl
        self.body: Body | None = None
        self._body_file: Path | None = None
        self._body_hash = ""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if self.smpl is not None:
            self._body_file = find_body(self.smpl)
            self._body_hash = hash_file(self._body_file)[1]
            self.body = load_body(self._body_file)

    def is_done(self, item: MotionItem, key: str) -> bool:
        if not super().is_done(item, key):
            return False
        folder = self.output_dir / item.id
        made = read_manifest(folder).inputs.get("smpl")  # a result without a body has none
        with_body = self.body is None or (isinstance(made, dict) and made["sha256"] == self._body_hash)
        return with_body and (not self.video or (folder / "motion.mp4").is_file())

    def write(self, folder: Path, result: MotionResult) -> None:
        start = time.perf_counter()
        shown = resample(result.motion, result.fps)
        if self.video:
            write_motion_video(folder / "motion.mp4", shown)
        write_bvh(folder / "motion.bvh", shown)
        write_motion_glb(folder / "motion.glb", shown)
        write_motion_npz(folder / MOTION, result.motion)
        if self.body is not None:
            _write_smpl(folder, shown, self.body)
        if result.trajectory is not None:
            save_trajectories(folder / TRAJECTORY, [result.trajectory])
        item = result.item
        files = {
            "script": item.script,
            "extends": item.extends and item.extends / TRAJECTORY,
            "smpl": self._body_file,
        }
        manifest = Manifest(
            fingerprint=result.key,
            inputs={name: path for name, path in files.items() if path is not None},
            prompt=tuple(segment.prompt for segment in result.motion.segments),
            seed=item.seed,
            models=result.models,
            settings=result.settings,
            timings={**result.seconds, "write": round(time.perf_counter() - start, 3)},
        )
        write_manifest(folder, manifest, sorted(path for path in folder.rglob("*") if path.is_file()))


def _write_smpl(folder: Path, motion: Motion, body: Body) -> None:
    parameters = smpl_parameters(motion, body)
    write_smpl_npz(folder / "smpl.npz", parameters)
    pose = smpl_pose(parameters, body)
    write_skinned_glb(folder / "smpl.glb", smpl_skin(body), pose, motion.fps, motion.segments)
    frames = (vertices for batch in smpl_vertices(parameters, body) for vertices in batch)
    write_mesh_sequence(folder / "smpl", frames, body.faces)
