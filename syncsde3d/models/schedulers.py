"""diffusers schedulers by name, set up for the model at hand."""

from __future__ import annotations

from typing import Any, Literal, get_args

from syncsde3d.core.protocols import Prediction

SchedulerName = Literal["ddim", "ddpm", "dpm++", "unipc", "euler", "lcm", "flow-euler"]


def make_scheduler(name: SchedulerName, trained: Any) -> Any:
    """A scheduler that samples a model trained with the noise schedule of ``trained``, another scheduler.

    "dpm++" is DPM-Solver++ 2M with an Euler step at the end, which the last, largest step in log-SNR needs.
    Raises ValueError for an unknown name, and for a name that does not fit the model: a flow model takes
    "flow-euler", "dpm++" or "unipc", any other model takes all but "flow-euler".
    """
    import diffusers

    if name not in get_args(SchedulerName):
        raise ValueError(f"scheduler: expected one of {', '.join(get_args(SchedulerName))}, got '{name}'")
    config = dict(trained.config)
    flow = "FlowMatch" in type(trained).__name__ or config.get("prediction_type") == "flow_prediction"
    if flow != (name == "flow-euler") and not (flow and name in ("dpm++", "unipc")):
        fits = "flow-euler, dpm++ or unipc" if flow else "any but flow-euler"
        raise ValueError(f"scheduler: '{name}' does not fit this model, expected {fits}")
    if name == "euler" and config.get("thresholding"):
        raise ValueError("scheduler: 'euler' cannot threshold as this model needs, expected another")
    extra: dict[str, Any] = {}
    if name in ("ddim", "ddpm", "lcm") and "clip_sample" not in config:
        extra = {"clip_sample": False}  # theirs would clip, which latents do not stand
    if flow and name != "flow-euler":
        extra = {
            "use_flow_sigmas": True,
            "prediction_type": "flow_prediction",
            "flow_shift": config.get("shift", 1.0),
        }
    if name == "dpm++":
        extra |= {"algorithm_type": "dpmsolver++", "solver_order": 2, "euler_at_final": True}
    classes = {
        "ddim": diffusers.DDIMScheduler,
        "ddpm": diffusers.DDPMScheduler,
        "dpm++": diffusers.DPMSolverMultistepScheduler,
        "unipc": diffusers.UniPCMultistepScheduler,
        "euler": diffusers.EulerDiscreteScheduler,
        "lcm": diffusers.LCMScheduler,
        "flow-euler": diffusers.FlowMatchEulerDiscreteScheduler,
    }
    return classes[name].from_config({**config, **extra})


def trained_prediction(scheduler: Any) -> Prediction:
    """What the network was trained to predict, as the scheduler's configuration says."""
    if "FlowMatch" in type(scheduler).__name__:
        return "flow_prediction"
    kind = scheduler.config.get("prediction_type", "epsilon")
    if kind not in ("epsilon", "sample", "v_prediction", "flow_prediction"):
        raise ValueError(f"scheduler: its prediction_type '{kind}' is unknown")
    return kind
