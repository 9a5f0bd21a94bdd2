"""The loops: all trajectories in lockstep, or one after the other as a stream.

Both take the same step: read the states, build the references from the states *before* the step, call the
network, couple its output, and let the scheduler step. They give the same trajectories.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from syncsde3d.core.coupling import Sync, adopt, couple
from syncsde3d.core.denoise import denoise
from syncsde3d.core.noise import NoiseSource
from syncsde3d.core.path import GaussianPath, to_x0
from syncsde3d.core.protocols import Denoiser, Prediction, Task
from syncsde3d.core.strategies import couple_outputs, couple_states


@dataclass(frozen=True)
class Checkpoint:
    """A lockstep run stopped before step ``index``: everything needed to go on as if it had not.

    states: [count, ...]. scheduler: the per-run attributes of its scheduler. generators: RNG state per patch.
    """

    index: int
    states: Tensor
    scheduler: dict[str, Any]
    generators: list[Tensor]


@dataclass(frozen=True)
class Trajectory:
    """A finished trajectory of a streaming run: its state before each step and, last, its result.

    states: [steps + 1, ...]; what a later run needs to continue the chain from here.
    """

    patch: int
    states: Tensor

    @property
    def result(self) -> Tensor:
        """The clean patch."""
        return self.states[-1]


#: Called after each step with (steps done, steps in all, states): progress bars, previews, checkpoints.
OnStep = Callable[[int, int, Tensor], object]


@dataclass(frozen=True)
class Sampler:
    """Couples trajectories of a denoiser; the step itself belongs to the diffusers ``scheduler``.

    scheduler: any of :data:`syncsde3d.core.path.SUPPORTED_SCHEDULERS`; copied, never changed.
    steps: number of sampling steps. sync: the coupling. eta: DDIM's share of fresh noise (Eq. 1).
    max_batch: most rows of one network call; the result does not depend on it.

    A scheduler that clips or thresholds x0 does so *before* the coupling: the clipped estimate is shifted,
    not the other way round (for DDIM this is its ``use_clipped_model_output=True``).
    """

    scheduler: Any
    steps: int = 20
    sync: Sync = field(default_factory=Sync)
    eta: float = 0.0
    max_batch: int | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: expected at least 1, got {self.steps}")
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta: expected a share in [0, 1], got {self.eta}")

    def _run(
        self, task: Task, denoiser: Denoiser, patches: list[int], source: NoiseSource, like: Tensor
    ) -> _Run:
        """A fresh scheduler for some of the task's patches, with everything a step needs."""
        config, prediction, clip = self.scheduler.config, denoiser.prediction, None
        expected = getattr(config, "prediction_type", "flow_prediction")
        if prediction != expected:
            raise ValueError(
                f"prediction: the scheduler steps with {expected!r}, the denoiser predicts {prediction!r}"
            )
        scheduler = copy.deepcopy(self.scheduler)
        if getattr(config, "thresholding", False) or getattr(config, "clip_sample", False):
            clip, prediction = _clip_function(self.scheduler), "sample"
            plain = {"thresholding": False, "clip_sample": False, "prediction_type": prediction}
            scheduler.register_to_config(**{k: v for k, v in plain.items() if k in config})
        scheduler.set_timesteps(self.steps, device=like.device)
        if hasattr(scheduler, "set_begin_index"):  # integer timesteps may repeat: count, do not look up
            scheduler.set_begin_index(0)
        return _Run(
            sampler=self,
            task=task,
            denoiser=denoiser,
            scheduler=scheduler,
            path=GaussianPath.from_scheduler(scheduler, self.eta),
            prediction=prediction,
            clip=clip,
            patches=torch.tensor(patches, device=like.device),
            generators=[source.stepping(i) for i in patches],
        )

    @torch.no_grad()
    def lockstep(
        self,
        task: Task,
        denoiser: Denoiser,
        noise: Tensor,
        source: NoiseSource,
        on_step: OnStep | None = None,
        on_checkpoint: Callable[[Checkpoint], None] | None = None,
        resume: Checkpoint | None = None,
    ) -> Tensor:
        """All trajectories together, one batched network call per step.

        noise: unit Gaussian [count, ...] in which the trajectories begin; its device and type are the run's.
        source: streams for schedulers that add noise. on_checkpoint: called after each step; hand the last
        checkpoint back as ``resume`` to go on. Returns the clean patches [count, ...].
        """
        if len(noise) != task.count:
            raise ValueError(f"noise: expected {task.count} patches, got {len(noise)}")
        run = self._run(task, denoiser, list(range(task.count)), source, noise)
        precision = task.precisions(noise)
        first = 0
        if resume is None:
            y = run.begin(noise)
        else:
            first, y = resume.index, resume.states.to(noise)
            run.restore(resume)
        for index in range(first, len(run.path)):
            strength = self.sync.strength(run.path, index)
            y = run.impose(index, y)
            if self._adopts(run.path, index, strength):
                y = run.replace(index, y, _adopt_along_chain(task, y, precision))
            references = task.references(y) if strength > 0 and self.sync.strategy == "syncsde" else None
            y = run.advance(index, y, references, precision, strength)
            if strength > 0:
                y = run.replace(index + 1, y, couple_states(self.sync.strategy, task, y))
            if on_step is not None:
                on_step(index + 1, len(run.path), y)
            if on_checkpoint is not None:
                on_checkpoint(run.checkpoint(index + 1, y))
        return y

    @torch.no_grad()
    def stream(
        self,
        task: Task,
        denoiser: Denoiser,
        noise: Callable[[int], Tensor],
        source: NoiseSource,
        on_step: OnStep | None = None,
        earlier: Iterable[Trajectory] = (),
        first: int = 0,
    ) -> Iterator[Trajectory]:
        """Trajectories one after the other, remembering only the last ``task.lookback`` of them.

        noise: gives trajectory i's initial unit Gaussian. earlier, first: continue a chain at patch ``first``
        from saved trajectories. Yields each :class:`Trajectory` when it is done, up to ``task.count``.
        Raises ValueError for the symmetric strategies, in which every patch depends on every other.
        """
        if self.sync.strategy not in ("syncsde", "independent"):
            raise ValueError(
                f"strategy: {self.sync.strategy!r} couples all patches at once; run it in lockstep"
            )
        kept = {t.patch: t.states for t in earlier}
        for i, states in kept.items():
            if len(states) != self.steps + 1:
                raise ValueError(
                    f"earlier: trajectory {i} has {len(states)} states, expected {self.steps + 1}"
                )
        for i in range(first, task.count):
            missing = [j for j in task.needs(i) if j not in kept]
            if missing:
                raise ValueError(f"earlier: trajectory {i} needs the saved trajectory {missing[0]}")
            run = self._run(task, denoiser, [i], source, y0 := noise(i))
            kept[i] = states = self._one(run, i, y0, kept, on_step)
            kept = {j: s for j, s in kept.items() if j > i - task.lookback}
            yield Trajectory(i, states)

    def _one(
        self, run: _Run, i: int, noise: Tensor, kept: Mapping[int, Tensor], on_step: OnStep | None
    ) -> Tensor:
        """All states of trajectory ``i`` given those of the earlier ones [steps + 1, ...]."""
        needs = run.task.needs(i)
        precision = run.task.precision(i).to(noise)[None]
        y = run.begin(noise[None])
        states = []
        for index in range(len(run.path)):
            strength = self.sync.strength(run.path, index)
            adopts = self._adopts(run.path, index, strength)
            y = run.impose(index, y)
            reference = None
            if needs and (adopts or (strength > 0 and self.sync.strategy == "syncsde")):
                reference = run.task.reference(i, {j: kept[j][index].to(noise) for j in needs})[None]
                if adopts:
                    y = run.replace(index, y, adopt(y, reference, precision))
            states.append(y[0])
            y = run.advance(index, y, reference, precision, strength)
            if on_step is not None:
                on_step(index + 1, len(run.path), y)
        return torch.stack([*states, y[0]])

    def _adopts(self, path: GaussianPath, index: int, strength: float) -> bool:
        """Whether states take their references over before this step: shared noise, or no signal yet."""
        if index == 0 and self.sync.share_noise:
            return True
        return self.sync.strategy == "syncsde" and strength > 0 and path.step(index).is_noise


@dataclass(frozen=True)
class _Run:
    """One pass over the timesteps for some patches of a task.

    prediction: what the scheduler is given: the network's own output, or x0 where ``clip`` changed it.
    """

    sampler: Sampler
    task: Task
    denoiser: Denoiser
    scheduler: Any
    path: GaussianPath
    prediction: Prediction
    clip: Callable[[Tensor], Tensor] | None
    patches: Tensor
    generators: list[torch.Generator]

    def begin(self, noise: Tensor) -> Tensor:
        """The first states; flow schedulers know neither a first deviation nor scaled inputs."""
        return noise * float(getattr(self.scheduler, "init_noise_sigma", 1.0))

    def impose(self, index: int, y: Tensor) -> Tensor:
        """The states before step ``index`` with the task's own knowledge of them."""
        return self.replace(index, y, self.task.impose(y, self.patches, self.path, index))

    def replace(self, index: int, y: Tensor, other: Tensor) -> Tensor:
        """``other`` in place of the states ``y`` before step ``index``.

        UniPC corrects a state by going back to the one before the last step, which has to move along.
        """
        last = getattr(self.scheduler, "last_sample", None)
        if last is not None and other is not y and index < len(self.path):
            scale = self.path.s if self.scheduler.predict_x0 else self.path.a
            self.scheduler.last_sample = last + float(scale[index - 1] / scale[index]) * (other - y)
        return other

    def advance(
        self, index: int, y: Tensor, references: Tensor | None, precision: Tensor, strength: float
    ) -> Tensor:
        """The states [k, ...] after step ``index``, coupled to their references where given."""
        step, sync, prediction = self.path.step(index), self.sampler.sync, self.prediction
        rescale = getattr(self.scheduler, "scale_model_input", None)
        inputs = y if rescale is None else rescale(y, step.t)
        output = denoise(self.denoiser, inputs, step, self.patches, self.sampler.max_batch)
        if self.clip is not None:
            output = self.clip(to_x0(output, inputs, step, self.denoiser.prediction))
        if references is not None and sync.strategy == "syncsde":
            output = couple(
                output, y, references, precision, self.path, index, strength, prediction, sync.saturate
            )
        elif strength > 0 and sync.strategy != "independent":
            output = couple_outputs(sync.strategy, self.task, output, inputs, step, prediction)
        return self.scheduler.step(output, step.t, y, **self._extras()).prev_sample.to(y.dtype)

    def _extras(self) -> dict[str, Any]:
        """The optional arguments that this scheduler's step takes."""
        accepted = inspect.signature(self.scheduler.step).parameters
        extras = {"generator": self.generators, "eta": self.sampler.eta}
        return {name: value for name, value in extras.items() if name in accepted}

    def checkpoint(self, index: int, y: Tensor) -> Checkpoint:
        """Where the run stands before step ``index``."""
        fresh = vars(copy.deepcopy(self.scheduler))
        kept = {k: v for k, v in fresh.items() if k in _PER_RUN}
        return Checkpoint(index, y.clone(), kept, [g.get_state() for g in self.generators])

    def restore(self, checkpoint: Checkpoint) -> None:
        """Put the scheduler and the generators back to where the checkpoint was taken."""
        vars(self.scheduler).update(copy.deepcopy(checkpoint.scheduler))
        for generator, state in zip(self.generators, checkpoint.generators, strict=True):
            generator.set_state(state)


#: What diffusers' schedulers remember between steps.
_PER_RUN = (
    "_step_index",
    "model_outputs",
    "timestep_list",
    "lower_order_nums",
    "last_sample",
    "this_order",
    "is_scale_input_called",
)


def _adopt_along_chain(task: Task, y: Tensor, precision: Tensor) -> Tensor:
    """Each state takes its reference over, in order, so that later ones adopt what earlier ones adopted."""
    states = dict(enumerate(y))
    for i in range(task.count):
        if task.needs(i):
            states[i] = adopt(states[i], task.reference(i, states), precision[i])
    return torch.stack([states[i] for i in range(task.count)])


def _clip_function(scheduler: Any) -> Callable[[Tensor], Tensor]:
    """The scheduler's own rule for x0: dynamic thresholding, or clamping to a range."""
    config = scheduler.config
    if config.thresholding:
        return scheduler._threshold_sample
    limit = float(getattr(config, "clip_sample_range", 1.0))
    return lambda x0: x0.clamp(-limit, limit)
