"""Settings of texturing, as named starting points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from syncsde3d.mesh.cameras import PAPER_VIEWS, TEXTURE_VIEWS
from syncsde3d.models.schedulers import SchedulerName
from syncsde3d.synthetic.captions import view_word


@dataclass(frozen=True)
class TextureSettings:
    """How views are sampled and tied together.

    steps, scheduler: of the sampler. guidance_scale: classifier-free, 1 turns it off.
    inv_lambda, sync_end: strength of the coupling, and the share of the schedule that it lasts.
    precision: "graded" trusts a source view less at grazing angles and silhouettes; "binary" is the paper's.
    compose: how earlier views make up the reference: the best-seeing one, or the released code's mean.
    saturate: a pull per step that cannot overshoot; False is the paper's explicit rule.
    views: (azimuth, elevation) in degrees, in the order of the chain.
    latent_size: height and width of a view's latents; None takes what the model was trained on.
    prefix, negative_prompt: put before the prompt; what to steer away from.
    control_scale: weight of the ControlNet at the first and the last step.
    backdrop: keep a plain backdrop behind the object while sampling.
    """

    steps: int = 20
    scheduler: SchedulerName = "dpm++"
    guidance_scale: float = 7.5
    inv_lambda: float = 2.0
    sync_end: float = 1.0
    precision: Literal["graded", "binary"] = "graded"
    compose: Literal["best", "mean"] = "best"
    saturate: bool = True
    views: tuple[tuple[float, float], ...] = TEXTURE_VIEWS
    latent_size: int | None = 96
    prefix: str = "Best quality, extremely detailed "
    negative_prompt: str = (
        "oversmoothed, blurry, depth of field, out of focus, low quality, bloom, glowing effect."
    )
    control_scale: tuple[float, float] = (0.7, 0.9)
    backdrop: bool = True


#: "default": what worked best; "paper": the paper's settings; "embedded": for the models of the package.
PRESETS: dict[str, TextureSettings] = {
    "default": TextureSettings(),
    "paper": TextureSettings(
        steps=30,
        scheduler="ddim",
        guidance_scale=15.5,
        inv_lambda=5.0,
        sync_end=0.8,
        precision="binary",
        views=PAPER_VIEWS,
    ),
    "embedded": TextureSettings(
        guidance_scale=3.0,
        latent_size=None,
        prefix="a photo of ",
        negative_prompt="",
        control_scale=(1.0, 1.0),
        backdrop=False,
    ),
}


def view_prompts(prompt: str, settings: TextureSettings) -> tuple[list[str], list[str]]:
    """Prompt and negative prompt of every view: the direction is named, and "front view" denied elsewhere."""
    names = [view_word(*view) for view in settings.views]
    prompts = [f"{settings.prefix}{prompt}, {name} view" for name in names]
    negatives = [
        ", ".join(filter(None, (settings.negative_prompt, "" if name == "front" else "front view")))
        if settings.negative_prompt
        else ""
        for name in names
    ]
    return prompts, negatives
