"""The borders of the sampler: anything that fits these protocols may enter it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from syncsde3d.core.path import GaussianPath

#: What a network predicts, named as diffusers names it ("flow_prediction": the velocity eps - x0).
Prediction = Literal["epsilon", "sample", "v_prediction", "flow_prediction"]

#: Below this signal coefficient a state counts as pure noise; see :attr:`Step.is_noise`.
MIN_SIGNAL = 1e-3

#: How patches are combined in the canonical object.
Agreement = Literal["mean", "best"]


@dataclass(frozen=True)
class Step:
    """One step of a run, as the network sees it: its input is ``a * x0 + s * eps``.

    index, count: position in the run, 0 is the noisiest. t: the scheduler's timestep, a 0-d tensor.
    a, s: coefficients of the network's input (for sigma-scaled states, after ``scale_model_input``).
    t_max: the largest timestep of the run (a float). train_steps: the length of the training schedule.
    """

    index: int
    count: int
    t: Tensor
    a: float
    s: float
    t_max: float
    train_steps: int = 1000

    @property
    def is_noise(self) -> bool:
        """Whether the input carries (next to) no signal: first step of zero-terminal-SNR and flow schedules.

        An estimate of x0 means nothing there and gamma_t is huge: outputs are not shifted, states adopt
        their references instead.
        """
        return self.a < MIN_SIGNAL

    @property
    def progress(self) -> float:
        """Share of the run already done, in [0, 1)."""
        return self.index / self.count


@runtime_checkable
class Denoiser(Protocol):
    """A pretrained diffusion model with its conditions already attached."""

    @property
    def prediction(self) -> Prediction:
        """What :meth:`predict` returns."""
        ...

    @property
    def guidance_scale(self) -> float:
        """Weight of classifier-free guidance; 1 means that only branch 0 is ever asked for."""
        ...

    def predict(
        self, y: Float[Tensor, "b ..."], step: Step, patch: Int[Tensor, " b"], branch: Int[Tensor, " b"]
    ) -> Float[Tensor, "b ..."]:
        """The model's raw output for each row of ``y``.

        patch: which patch (view, window, segment) each row belongs to: selects its condition.
        branch: 0 with the patch's condition, 1 without (the unconditional or negative branch).
        Rows are independent: the result for a row may not depend on the others in the batch.
        """
        ...


class Task(ABC):
    """What is synchronised: patches, for each a linear reference on earlier ones, and a precision.

    count: number of patches. lookback: no reference reaches further back than this many patches, which
    bounds what a streaming run has to remember.
    """

    count: int
    lookback: int

    @abstractmethod
    def needs(self, i: int) -> tuple[int, ...]:
        """The earlier patches that reference ``i`` is made of; empty: trajectory ``i`` runs free."""

    @abstractmethod
    def reference(self, i: int, earlier: Mapping[int, Tensor]) -> Tensor:
        """``A_i y^{<i}``: a LINEAR map of the earlier patches to patch ``i``; 0 where there is nothing."""

    @abstractmethod
    def precision(self, i: int) -> Tensor:
        """``M_i`` in [0, 1], broadcastable to a patch; 0 where there is nothing to agree with."""

    @abstractmethod
    def agree(self, values: Tensor, how: Agreement) -> tuple[Tensor, Tensor]:
        """Values of all patches made to agree in the canonical object, and the mask of where they do.

        values: [count, ...]. how: "mean" averages all patches that see a point, "best" takes the one that
        sees it best. Returns the agreed values and a boolean mask broadcastable to them; outside the mask
        a patch is on its own.
        """

    def impose(self, y: Tensor, patches: Tensor, path: GaussianPath, index: int) -> Tensor:
        """States [k, ...] of some patches [k] before step ``index``, with what the task knows of them put in.

        path: the run's, with the coefficients of the states. The default knows nothing.
        """
        return y

    def references(self, y: Tensor) -> Tensor:
        """All references at once [count, ...]; override where they are one product."""
        states = dict(enumerate(y))
        free = torch.zeros_like(y[0])
        return torch.stack([self.reference(i, states) if self.needs(i) else free for i in range(self.count)])

    def precisions(self, like: Tensor) -> Tensor:
        """All precisions [count, ...] on the device and in the type of ``like``; 0 for free trajectories."""
        free = torch.zeros_like(like[0])
        return torch.stack(
            [self.precision(i).to(like).expand_as(free) if self.needs(i) else free for i in range(self.count)]
        )
