"""Texturing as a LightningModule: build the task from the geometry, run the sampler, bake."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from tqdm import tqdm

from syncsde3d.core import Agreement, NoiseSource, Sampler, Strategy, Sync
from syncsde3d.io.manifest import fingerprint
from syncsde3d.lit.item_module import ItemModule, timed
from syncsde3d.lit.items import MeshItem, TexturedMesh
from syncsde3d.lit.presets import PRESETS, TextureSettings, view_prompts
from syncsde3d.mesh.bake import bake
from syncsde3d.mesh.cameras import Cameras, orbit
from syncsde3d.mesh.load import load_mesh
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.mesh.refine import refine_texture
from syncsde3d.mesh.shade import depth_images, normal_images
from syncsde3d.mesh.types import Mesh
from syncsde3d.mesh.uv import ensure_uvs
from syncsde3d.mesh.view_matrix import build_view_matrix
from syncsde3d.mesh.visibility import Visibility
from syncsde3d.models.schedulers import SchedulerName, make_scheduler
from syncsde3d.models.texturing import TextureModel, load_texture_model
from syncsde3d.tasks.mesh_texture import Backdrop, MeshTextureTask, ViewOperator

#: The paper's view distance and field of view (degrees): the object's bounding sphere fills the image.
DISTANCE, FOV = 2.0, 60.0

#: Plain backdrops, RGB in [-1, 1]: black and white first, then the corners and edges of the colour cube.
BACKDROPS: tuple[tuple[float, float, float], ...] = (
    (-1.0, -1.0, -1.0),
    (1.0, 1.0, 1.0),
    *(
        (r, g, b)
        for r in (-1.0, 0.0, 1.0)
        for g in (-1.0, 0.0, 1.0)
        for b in (-1.0, 0.0, 1.0)
        if len({r, g, b}) > 1
    ),
)


def backdrop_schedule(steps: int, views: int, random: torch.Generator) -> Tensor:
    """Which of :data:`BACKDROPS` stands behind each view in each step [steps, views].

    Any colour during the first 40 % of the steps, black or white up to 80 %, none (-1) after.
    """
    choice = torch.randint(len(BACKDROPS), (steps, views), generator=random)
    progress = torch.arange(steps) / steps
    choice = torch.where(progress[:, None] < 0.4, choice, choice % 2)
    return torch.where(progress[:, None] < 0.8, choice, -1)


class MeshTexturing(ItemModule):
    """Textures meshes from prompts with a pretrained depth-conditioned diffusion model.

    Use with ``trainer.predict`` over a :class:`~syncsde3d.MeshDataModule`, writing by a
    :class:`~syncsde3d.TexturedMeshWriter`. Nothing is trained.

    Args:
        model: "embedded" (the package's own small diffusion model), "closed-form" (exact Gaussians, no
            weights), or a Stable Diffusion 1.x/2.x hub id or local diffusers folder.
        controlnet: hub id or folder of the depth ControlNet; None takes the model folder's own.
        preset: settings to start from, see :data:`syncsde3d.lit.presets.PRESETS`; None fits the model.
        strategy: how views are coupled, see :class:`syncsde3d.core.Sync`.
        steps, scheduler, inv_lambda, guidance_scale, negative_prompt: override the preset.
        texture_size: texels along a side.
        refine: sharpen the baked texture by optimising it against the views.
        dtype: the network's precision. max_batch: most rows in one network call; None takes all.
        low_memory: decode one view, and one tile of it, at a time.
        rasterizer: "torch" or "pytorch3d".

    A bad item (unreadable mesh, empty prompt, too little memory) comes back as
    :class:`~syncsde3d.lit.items.Failed` and the run goes on; a model that cannot be loaded ends it with a
    ValueError.
    """

    def __init__(
        self,
        model: str = "embedded",
        controlnet: str | None = None,
        preset: Literal["default", "paper", "embedded"] | None = None,
        strategy: Strategy = "syncsde",
        steps: int | None = None,
        scheduler: SchedulerName | None = None,
        inv_lambda: float | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | None = None,
        texture_size: int = 1024,
        refine: bool = False,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        max_batch: int | None = None,
        low_memory: bool = False,
        rasterizer: Literal["torch", "pytorch3d"] = "torch",
    ) -> None:
        super().__init__()
        if preset is not None and preset not in PRESETS:
            raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got '{preset}'")
        if not 64 <= texture_size <= 8192:
            raise ValueError(f"texture_size: expected 64 to 8192 texels, got {texture_size}")
        start = PRESETS[preset or ("embedded" if model in ("embedded", "closed-form") else "default")]
        given = {
            "steps": steps,
            "scheduler": scheduler,
            "inv_lambda": inv_lambda,
            "guidance_scale": guidance_scale,
            "negative_prompt": negative_prompt,
        }
        self.settings: TextureSettings = replace(start, **{k: v for k, v in given.items() if v is not None})
        if self.settings.steps < 1:
            raise ValueError(f"steps: expected at least 1, got {self.settings.steps}")
        if max_batch is not None and max_batch < 1:
            raise ValueError(f"max_batch: expected at least 1 row, got {max_batch}")
        self.sync = Sync(
            strategy=strategy,
            inv_lambda=self.settings.inv_lambda,
            saturate=self.settings.saturate,
            sync_end=self.settings.sync_end,
        )
        self.model_name, self.controlnet = model, controlnet
        self.dtype_name: Literal["float32", "float16", "bfloat16"] = dtype
        self.texture_size, self.refine = texture_size, refine
        self.max_batch, self.low_memory = max_batch, low_memory
        self.rasterizer = get_rasterizer(rasterizer)
        self.model: TextureModel | None = None

    def setup(self, stage: str) -> None:
        if self.model is None:
            self.model = load_texture_model(
                self.model_name,
                self.controlnet,
                self.dtype_name,
                self.device,
                self.max_batch,
                self.low_memory,
            )
            make_scheduler(self.settings.scheduler, self.model.scheduler)

    def describe(self) -> dict[str, Any]:
        """Every setting, and the models with their revisions: with an item, all that a repeat needs."""
        assert self.model is not None
        return {
            **asdict(self.settings),
            "strategy": self.sync.strategy,
            "texture_size": self.texture_size,
            "refine": self.refine,
            "dtype": self.dtype_name,
            "rasterizer": type(self.rasterizer).__name__,
            "models": dict(self.model.revisions),
        }

    def key(self, item: MeshItem) -> str:
        return fingerprint(item, self.describe())

    def make(self, item: MeshItem) -> TexturedMesh:
        return self.texture(item)

    def texture(self, item: MeshItem) -> TexturedMesh:
        """One mesh, from file to texture. Raises ValueError or OSError for an item that cannot be done."""
        model = self.model
        if model is None:
            raise ValueError("model: not loaded; run through a Trainer, or call setup('predict') first")
        if not item.prompt.strip():
            raise ValueError(f"prompt: empty for mesh '{item.mesh}', expected words")
        seconds: dict[str, float] = {}
        cameras = orbit(self.settings.views, DISTANCE, FOV).to(self.device)
        with timed(seconds, "load"):
            mesh = ensure_uvs(load_mesh(item.mesh), self.texture_size).to(self.device)
        with timed(seconds, "geometry"):
            control = self._control_images(mesh, cameras, model)
            visibility = Visibility.of(mesh, cameras, self.rasterizer)
            task = self._task(mesh, cameras, visibility, model, item)
        with timed(seconds, "sample"):
            latents = self._sample(task, control, model, item)
        with timed(seconds, "decode"):
            views = (model.decode(latents) / 2 + 0.5).clamp(0, 1).float()
        with timed(seconds, "bake"):
            baked = bake(mesh, cameras, views, self.rasterizer, self.texture_size, visibility=visibility)
            texture = baked.texture
            if self.refine:
                texture = refine_texture(mesh, cameras, views, texture, self.rasterizer)
        return TexturedMesh(
            item=item,
            mesh=mesh.to("cpu"),
            texture=texture.cpu(),
            views=views.cpu(),
            control=control.cpu(),
            coverage=baked.seen,
            settings=self.describe(),
            models=dict(model.revisions),
            seconds=seconds,
        )

    def _control_images(self, mesh: Mesh, cameras: Cameras, model: TextureModel) -> Tensor:
        """What the model is conditioned on, as pictures [n, 3, h, w] in [0, 1]."""
        size = self._size(model) * model.factor
        fragments = self.rasterizer.rasterize(mesh.vertices, mesh.faces, cameras, (size, size))
        if model.control == "normal":
            return normal_images(mesh, cameras, fragments)
        return depth_images(fragments)

    def _task(
        self, mesh: Mesh, cameras: Cameras, visibility: Visibility, model: TextureModel, item: MeshItem
    ) -> MeshTextureTask:
        """The views' references and precision at the latents' resolution."""
        build = partial(
            build_view_matrix,
            mesh,
            cameras,
            self._size(model),
            self.rasterizer,
            precision=self.settings.precision,
            visibility=visibility,
        )
        chain = build(compose=self.settings.compose)
        agreement: dict[Agreement, ViewOperator] = {}
        if self.sync.strategy not in ("syncsde", "independent"):
            how: Agreement = "best" if self.sync.strategy == "consensus" else "mean"
            agreement[how] = build(compose=how, symmetric=True)
        backdrop = None
        if self.settings.backdrop:
            backdrop = self._backdrop(model, ~chain.fragments.mask, item)
        return MeshTextureTask(chain, agreement, backdrop)

    def _size(self, model: TextureModel) -> int:
        """Height and width of the views' latents."""
        return self.settings.latent_size or model.size

    def _noise(self, model: TextureModel, item: MeshItem) -> Tensor:
        """One background noise for all views [n, c, h, w]; surfaces adopt theirs along the chain."""
        shape = (model.channels, self._size(model), self._size(model))
        noise = NoiseSource(item.seed, item.id).initial("shared", shape).to(self.device)
        return noise.expand(len(self.settings.views), *shape).clone()

    def _backdrop(self, model: TextureModel, mask: Tensor, item: MeshItem) -> Backdrop:
        """Plain colours behind the views, drawn anew for each view and step."""
        size = self._size(model) * model.factor
        colors = torch.tensor(BACKDROPS, device=self.device)[:, :, None, None]
        pictures = model.encode(colors.expand(-1, -1, size, size)).float()
        random = NoiseSource(item.seed, item.id).generator("backdrop")
        choice = backdrop_schedule(self.settings.steps, len(mask), random).to(self.device)
        return Backdrop(pictures, choice, self._noise(model, item), mask)

    def _sample(self, task: MeshTextureTask, control: Tensor, model: TextureModel, item: MeshItem) -> Tensor:
        """The views' clean latents [n, c, h, w]."""
        settings = self.settings
        prompts, negatives = view_prompts(item.prompt, settings)
        denoiser = model.condition(
            prompts,
            negative_prompts=negatives,
            control_images=control,
            guidance_scale=settings.guidance_scale if model.guided else 1.0,
            control_scale=settings.control_scale,
        )
        sampler = Sampler(
            make_scheduler(settings.scheduler, model.scheduler),
            steps=settings.steps,
            sync=self.sync,
            max_batch=self.max_batch,
        )
        with tqdm(
            total=settings.steps, desc=item.id, unit="step", leave=False, disable=self.hides_progress
        ) as bar:
            return sampler.lockstep(
                task,
                denoiser,
                self._noise(model, item),
                NoiseSource(item.seed, item.id),
                on_step=lambda done, total, states: bar.update(),
            )
