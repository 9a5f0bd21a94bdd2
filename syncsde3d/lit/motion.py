"""Long motion as a LightningModule: prompts to segments, sampled as one chain, joined, decoded."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from syncsde3d.core import NoiseSource, Sampler, Strategy, Sync, Trajectory
from syncsde3d.core.coupling import adopt
from syncsde3d.io.manifest import fingerprint
from syncsde3d.lit.item_module import ItemModule, timed
from syncsde3d.lit.motion_data import read_script
from syncsde3d.lit.motion_extend import TRAJECTORY, Earlier, load_earlier
from syncsde3d.lit.motion_items import MotionItem, MotionResult, plan
from syncsde3d.models.embedded import embedded_folder
from syncsde3d.models.motion_diffusion import CLIP, MotionDiffusion
from syncsde3d.models.schedulers import SchedulerName, make_scheduler
from syncsde3d.motion.cleanup import clean_up
from syncsde3d.motion.features import CONTACTS, FEATURES, to_joints
from syncsde3d.motion.types import FPS, Motion, Segment
from syncsde3d.tasks.long_motion import FRAMES_MAX, Blend, LongMotionTask, Precision

#: The sampler's strategies, and "handshake": shared frames cross-faded in x0 at every step (DoubleTake).
MotionStrategy = Literal[Strategy, "handshake"]
#: Those in which a segment depends on earlier ones only, so that a motion can be streamed and extended.
_CHAINS = ("syncsde", "independent")


class LongMotion(ItemModule):
    """Makes motions of any length from prompts with a pretrained text-to-motion diffusion model (MDM).

    Use with ``trainer.predict`` over a :class:`~syncsde3d.MotionScriptDataModule`, writing by a
    :class:`~syncsde3d.MotionWriter`. Nothing is trained.

    Args:
        model: "embedded" (the package's own small model), or a released MDM checkpoint or its folder.
        strategy: how segments are coupled, see :class:`syncsde3d.core.Sync`; "handshake" for comparison.
        steps, scheduler: of the sampler. inv_lambda: strength of the coupling; 3 is the paper's for motion.
        sync_end: share of the schedule after which segments run free, in (0, 1]; 1 is the paper's. Late steps
            decide on details from frame to frame, which a pull there would leave jerky.
        guidance_scale: classifier-free, 1 turns it off.
        overlap: frames that neighbouring segments share, at 20 per second.
        precision: "graded" trusts the reference less towards the end of the shared frames; "binary" is the
            paper's.
        blend: on shared frames: a "linear" or "cosine" cross-fade, or the "later" segment (the paper's).
        clean_up: hold standing feet still and lift the body out of the floor.
        fps: frames per second of the exported motion.
        stream: one segment after the other in constant memory instead of all at once; same result.
        dtype: the network's precision. max_batch: most rows in one network call; None takes all.
        text_encoder: hub id or folder of the one that a released checkpoint was trained with.

    A bad item (empty prompt, unreadable script, a time too short) comes back as
    :class:`~syncsde3d.lit.items.Failed` and the run goes on; a model that cannot be loaded ends it with a
    ValueError.
    """

    def __init__(
        self,
        model: str = "embedded",
        strategy: MotionStrategy = "syncsde",
        steps: int = 20,
        scheduler: SchedulerName = "dpm++",
        inv_lambda: float = 3.0,
        sync_end: float = 0.25,
        guidance_scale: float = 2.5,
        overlap: int = 30,
        precision: Precision = "graded",
        blend: Blend = "linear",
        clean_up: bool = False,
        fps: float = FPS,
        stream: bool = False,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        max_batch: int | None = None,
        text_encoder: str = CLIP,
    ) -> None:
        super().__init__()
        if strategy not in get_args(MotionStrategy):
            raise ValueError(
                f"strategy: expected one of {', '.join(get_args(MotionStrategy))}, got {strategy!r}"
            )
        if stream and strategy not in _CHAINS:
            raise ValueError(f"stream: expected the strategy {' or '.join(_CHAINS)}, got {strategy!r}")
        if steps < 1:
            raise ValueError(f"steps: expected at least 1, got {steps}")
        if blend not in get_args(Blend):
            raise ValueError(f"blend: expected one of {', '.join(get_args(Blend))}, got {blend!r}")
        LongMotionTask((FRAMES_MAX,), overlap, precision=precision)  # says what is wrong with these
        if not 1 <= fps <= 240:
            raise ValueError(f"fps: expected 1 to 240 frames per second, got {fps}")
        core: Strategy = "synctweedies" if strategy == "handshake" else strategy
        self.sync = Sync(strategy=core, inv_lambda=inv_lambda, sync_end=sync_end)
        self.model_name, self.text_encoder = model, text_encoder
        self.strategy, self.steps = strategy, steps
        self.scheduler: SchedulerName = scheduler
        self.guidance_scale, self.overlap, self.fps = guidance_scale, overlap, fps
        self.precision: Precision = precision
        self.blend: Blend = blend
        self.clean_up, self.stream, self.max_batch = clean_up, stream, max_batch
        self.dtype_name: Literal["float32", "float16", "bfloat16"] = dtype
        self.model: MotionDiffusion | None = None

    def setup(self, stage: str) -> None:
        if self.model is None:
            folder = embedded_folder("motion") if self.model_name == "embedded" else self.model_name
            self.model = MotionDiffusion.from_pretrained(
                folder, self.device, self.dtype_name, self.text_encoder
            )
            make_scheduler(self.scheduler, self.model.scheduler)

    def describe(self) -> dict[str, Any]:
        """Every setting, and the model with its revision: with an item, all that a repeat needs."""
        assert self.model is not None
        return {
            "model": Path(self.model_name).name,
            "strategy": self.strategy,
            "steps": self.steps,
            "scheduler": self.scheduler,
            "inv_lambda": self.sync.inv_lambda,
            "sync_end": self.sync.sync_end,
            "guidance_scale": self.guidance_scale,
            "overlap": self.overlap,
            "precision": self.precision,
            "blend": self.blend,
            "clean_up": self.clean_up,
            "fps": self.fps,
            "dtype": self.dtype_name,
            "models": dict(self.model.revisions),
        }

    def key(self, item: MotionItem) -> str:
        return fingerprint(item, self.describe(), item.extends and item.extends / TRAJECTORY)

    def make(self, item: MotionItem) -> MotionResult:
        """One long motion. Raises ValueError or OSError for an item that cannot be done."""
        if self.model is None:
            raise ValueError("model: not loaded; run through a Trainer, or call setup('predict') first")
        seconds: dict[str, float] = {}
        with timed(seconds, "sample"):
            run = self._begin(item, self.model)
            features = _on_disk(run.pieces())
        if not features.isfinite().all():
            raise ValueError("model: it gave values that are not finite; try dtype float32, or other weights")
        with timed(seconds, "decode"):
            joints = to_joints(features)
            if self.clean_up:
                joints = clean_up(joints, features[:, CONTACTS])
        segments = tuple(
            Segment(prompt, start, start + length)
            for prompt, start, length in zip(run.prompts, run.task.starts, run.task.lengths, strict=True)
        )
        return MotionResult(
            item=item,
            motion=Motion(joints, FPS, segments, features),
            fps=self.fps,
            trajectory=run.last,
            settings=self.describe(),
            models=dict(self.model.revisions),
            key=self.key(item),
            seconds=seconds,
        )

    def pieces(self, item: MotionItem) -> Iterator[Tensor]:
        """Features [k, 263] of one long motion, piece by piece, as soon as nothing later changes them."""
        if self.model is None:
            raise ValueError("model: not loaded; run through a Trainer, or call setup('predict') first")
        yield from self._begin(item, self.model).pieces()

    def _begin(self, item: MotionItem, model: MotionDiffusion) -> _Run:
        lines = item.lines or (read_script(item.script) if item.script else ())
        earlier = None
        if item.extends is not None:
            if self.strategy not in _CHAINS:
                raise ValueError(f"extend: expected the strategy {' or '.join(_CHAINS)}, got {self.strategy}")
            earlier = load_earlier(item.extends, self.describe())
        prompts, lengths = plan(lines, self.overlap, item.duration, begun=earlier is not None)
        if earlier is not None:
            prompts = [segment.prompt for segment in earlier.segments] + prompts
            lengths = earlier.lengths + lengths
        weights = "linear" if self.strategy == "handshake" else "flat"
        task = LongMotionTask(lengths, self.overlap, weights, self.precision)
        return _Run(self, model, item, prompts, task, earlier)


@dataclass
class _Run:
    """One item being sampled. last: the newest segment's trajectory, once it is known."""

    module: LongMotion
    model: MotionDiffusion
    item: MotionItem
    prompts: Sequence[str]
    task: LongMotionTask
    earlier: Earlier | None
    last: Trajectory | None = field(default=None)

    def pieces(self) -> Iterator[Tensor]:
        """Features on the CPU, final as soon as they come, those of the earlier motion first."""
        overlap, first, tail = self.task.overlap, 0, None
        if self.earlier is not None:
            yield self.earlier.features[:-overlap]
            first, tail = len(self.earlier.segments), self.earlier.features[-overlap:]
        segments = (self.model.decode(clean).float().cpu() for clean in self._sample(first))
        yield from self.task.join(segments, self.module.blend, first, tail)

    def _sample(self, first: int) -> Iterator[Tensor]:
        """Clean segments [frames, 263], from segment ``first`` on."""
        module, task = self.module, self.task
        scheduler = make_scheduler(module.scheduler, self.model.scheduler)
        sampler = Sampler(scheduler, module.steps, module.sync, max_batch=module.max_batch)
        denoiser = self.model.condition(self.prompts, task.lengths, guidance_scale=module.guidance_scale)
        source = NoiseSource(self.item.seed, self.item.id)
        streams = module.stream or first > 0
        total = module.steps * (task.count - first if streams else 1)
        with tqdm(
            total=total, desc=self.item.id, unit="step", leave=False, disable=module.hides_progress
        ) as bar:

            def on_step(done: int, steps: int, states: Tensor) -> None:
                bar.update()

            if streams:
                earlier = [self.earlier.trajectory] if self.earlier else []
                for trajectory in sampler.stream(
                    task, denoiser, lambda i: self._noise(source, i), source, on_step, earlier, first
                ):
                    self.last = trajectory
                    yield trajectory.result
            else:
                yield from self._lockstep(sampler, denoiser, source, on_step)

    def _lockstep(
        self, sampler: Sampler, denoiser: Any, source: NoiseSource, on_step: Callable[..., None]
    ) -> Tensor:
        """All segments at once [count, frames, 263]; the last one's trajectory is kept as a stream would."""
        noise = [self._noise(source, 0)]
        for i in range(1, self.task.count):
            precision = self.task.precision(i).to(noise[0])
            noise.append(adopt(self._noise(source, i), self.task.reference(i, {i - 1: noise[-1]}), precision))
        scheduler = make_scheduler(self.module.scheduler, self.model.scheduler)
        scheduler.set_timesteps(sampler.steps)
        states = [noise[-1] * float(scheduler.init_noise_sigma)]

        def keep(done: int, steps: int, y: Tensor) -> None:
            states.append(y[-1])
            on_step(done, steps, y)

        clean = sampler.lockstep(self.task, denoiser, torch.stack(noise), source, keep)
        if self.module.strategy in _CHAINS:
            self.last = Trajectory(self.task.count - 1, torch.stack(states))
        return clean

    def _noise(self, source: NoiseSource, i: int) -> Tensor:
        """Segment ``i``'s unit Gaussian, whatever the other segments' lengths, padded [frames, 263]."""
        length = self.task.lengths[i]
        noise = source.initial(i, (length, FEATURES))
        return F.pad(noise, (0, 0, 0, self.task.frames - length)).to(self.module.device)


def _on_disk(pieces: Iterable[Tensor]) -> Tensor:
    """Pieces [k, 263] put together in a file that goes when the result does: memory holds one at a time."""
    with tempfile.TemporaryFile() as file:
        for piece in pieces:
            file.write(np.ascontiguousarray(piece.numpy(), np.float32).data)
        file.flush()
        return torch.from_numpy(np.memmap(file, np.float32, "r+").reshape(-1, FEATURES))
