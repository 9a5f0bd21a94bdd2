"""The borders of the sampler: anything that fits these protocols may enter it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int

#: What a network predicts, named as diffusers names it ("flow_prediction": the velocity eps - x0).
Prediction = Literal["epsilon", "sample", "v_prediction", "flow_prediction"]


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
    def progress(self) -> float:
        """Share of the run already done, in [0, 1)."""
        return self.index / self.count


@runtime_checkable
class Denoiser(Protocol):
    """A pretrained diffusion model with its conditions already attached.

    prediction: what :meth:`predict` returns. guidance_scale: classifier-free guidance; 1 means that only
    branch 0 is ever asked for.
    """

    prediction: Prediction
    guidance_scale: float

    def predict(
        self, y: Float[Tensor, "b ..."], step: Step, patch: Int[Tensor, "b"], branch: Int[Tensor, "b"]
    ) -> Float[Tensor, "b ..."]:
        """The model's raw output for each row of ``y``.

        patch: which patch (view, window, segment) each row belongs to: selects its condition.
        branch: 0 with the patch's condition, 1 without (the unconditional or negative branch).
        Rows are independent: the result for a row may not depend on the others in the batch.
        """
        ...
