"""All references of mesh texturing as one sparse matrix over view pixels (Eq. 18-19).

Baking views into a texture and rendering it are linear, so X~ = A y for all views at once: row (i, pixel)
holds weights over pixels of the views that inform view i and see the same surface point. Links go from the
nearest pixel to a pixel: interpolating independent Gaussian latents would shrink their variance.

| here                | paper                                                          |
|---------------------|----------------------------------------------------------------|
| ViewMatrix.matrix   | A, the linear maps of Eq. 19 stacked (view i draws on 0..i-1)  |
| ViewMatrix.precision| M_i, the diagonal of Eq. 18                                    |
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from .cameras import Cameras
from .rasterize import Rasterizer
from .types import Fragments, Mesh
from .visibility import Visibility, depth_bias, nearest_pixel, project, surface_points

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

Compose = Literal["best", "mean"]
Precision = Literal["graded", "binary"]


@dataclass(frozen=True, eq=False)
class ViewMatrix:
    """What each view pixel takes from other views, and how much that counts.

    Pixels are numbered view by view, row by row: q = (view * h + row) * w + column, p = n h w of them. The
    matrix is stored as in the CSR format:

    row_ends: pixel q's entries are ``row_ends[q] : row_ends[q + 1]`` [p + 1], int64.
    columns: the source pixel of each entry [z], int64.
    weights: its weight [z], float32; a row's weights sum to 1, rows without a source are empty.
    precision: M in [0, 1] [n, h, w], float32; 0 where the row is empty.
    mask: where the row is not empty [n, h, w]; read off the matrix, never off values.
    fragments: what each pixel sees, at this resolution.
    """

    row_ends: Int[Tensor, " p+1"]
    columns: Int[Tensor, " z"]
    weights: Float[Tensor, " z"]
    precision: Float[Tensor, "n h w"]
    mask: Bool[Tensor, "n h w"]
    fragments: Fragments

    @property
    def resolution(self) -> tuple[int, int]:
        """(height, width) of the views."""
        return self.mask.shape[1], self.mask.shape[2]

    @cached_property
    def matrix(self) -> Float[Tensor, "p p"]:
        """The whole matrix, sparse CSR, float32."""
        return _csr(self.row_ends, self.columns, self.weights, self.mask.numel())

    def apply(self, values: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """X~ = A y for all views at once; 0 on empty rows. Computed in float32 or better."""
        height, width = self.resolution
        flat = values.movedim(1, -1).reshape(-1, values.shape[1])
        if flat.dtype == torch.float64 or flat.device.type == "mps":
            out = _product(self.row_ends, self.columns, self.weights, flat)
        else:
            out = (self.matrix @ flat.float()).to(flat.dtype)
        return out.reshape(-1, height, width, values.shape[1]).movedim(-1, 1)

    def apply_to_view(
        self, view: int, values: Mapping[int, Float[Tensor, "c h w"]]
    ) -> Float[Tensor, "c h w"]:
        """X~ of one view from the values of the views that it :meth:`needs`, by their number."""
        needs = self.needs(view)
        missing = [other for other in needs if other not in values]
        if missing or not values:
            raise ValueError(f"values: view {view} draws on views {list(needs)}, got {sorted(values)}")
        height, width = self.resolution
        ends, columns, weights = self._rows(view)
        like = next(iter(values.values()))
        flat = [values[other].reshape(len(like), -1).T for other in needs] or [like.reshape(len(like), -1).T]
        slot = torch.zeros(len(self.mask), dtype=torch.int64, device=columns.device)
        slot[list(needs)] = torch.arange(len(needs), device=columns.device)
        pixels = height * width
        local = slot[columns // pixels] * pixels + columns % pixels
        return _product(ends, local, weights, torch.cat(flat)).T.reshape(len(like), height, width)

    def needs(self, view: int) -> tuple[int, ...]:
        """The views that this view draws on, in increasing order."""
        return self._needs[view]

    @cached_property
    def _needs(self) -> list[tuple[int, ...]]:
        pixels = self.mask[0].numel()
        columns = [self._rows(view)[1] for view in range(len(self.mask))]
        return [tuple((some // pixels).unique().tolist()) for some in columns]

    def to(self, device: torch.device | str) -> ViewMatrix:
        """The same matrix on another device."""
        seen = Fragments(*(getattr(self.fragments, part.name).to(device) for part in fields(Fragments)))
        own = (self.row_ends, self.columns, self.weights, self.precision, self.mask)
        return ViewMatrix(*(tensor.to(device) for tensor in own), fragments=seen)

    def _rows(self, view: int) -> tuple[Tensor, Tensor, Tensor]:
        """The entries of one view's rows."""
        pixels = self.mask[0].numel()
        ends = self.row_ends[view * pixels : (view + 1) * pixels + 1]
        entries = slice(int(ends[0]), int(ends[-1]))
        return ends - ends[0], self.columns[entries], self.weights[entries]


def build_view_matrix(
    mesh: Mesh,
    cameras: Cameras,
    size: int,
    rasterizer: Rasterizer,
    compose: Compose = "best",
    precision: Precision = "graded",
    symmetric: bool = False,
    visibility: Visibility | None = None,
) -> ViewMatrix:
    """The matrix that composes each view, ``size`` pixels square, from what other views see of its surface.

    compose: "best" takes the pixel of the view that sees a point best, which keeps noise Gaussian, white and
    of unit variance; "mean" averages by score. A source's score is its facing cosine, with graded precision
    times a factor that falls to 0 where its 3 x 3 neighbourhood is mostly background.
    precision: "graded" is the (mean) score of a pixel's sources; "binary" is 1 where it has any, the paper's.
    symmetric: draw on all views, the pixel's own included, instead of the earlier ones only.
    visibility: depth buffers to reuse.
    """
    if compose not in ("best", "mean") or precision not in ("graded", "binary"):
        raise ValueError(
            f"compose, precision: expected best or mean, graded or binary, got {compose!r}, {precision!r}"
        )
    cameras = cameras.to(mesh.vertices.device)
    fragments = rasterizer.rasterize(mesh.vertices.detach(), mesh.faces, cameras, (size, size))
    visibility = visibility or Visibility.of(mesh, cameras, rasterizer)
    share = _foreground_share(fragments.mask) if precision == "graded" else fragments.mask.float()
    points = surface_points(mesh, fragments)
    pixel = fragments.mask.flatten().nonzero().squeeze(1)
    view = pixel // size**2
    found = []
    for source in range(len(cameras)):
        here = (view >= 0 if symmetric else view > source).nonzero().squeeze(1)
        some = points[here]
        own = view[here] == source
        cosine = torch.where(own, some.cosine(cameras, source), visibility.cosine(some, source))
        at, depth = project(some.position, cameras, source, (size, size))
        column, inside = nearest_pixel(at, (size, size))
        column = torch.where(own, pixel[here] % size**2, column)
        gap = (fragments.depth[source].flatten()[column] - depth).abs()
        score = cosine * share[source].flatten()[column]
        score = torch.where(inside & (gap <= depth_bias(cosine, depth, cameras, size)), score, 0.0)
        entry = (score > 0).nonzero().squeeze(1)
        found.append((pixel[here[entry]], column[entry] + source * size**2, score[entry]))
    rows, columns, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
    return _assemble(rows, columns, scores, fragments, compose, precision)


def _foreground_share(mask: Bool[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """1 inside the object, falling to 0 where a pixel's 3 x 3 neighbourhood is 40 % foreground or less."""
    near = torch.nn.functional.avg_pool2d(mask[:, None].float(), 3, stride=1, padding=1)[:, 0]
    return ((near - 0.4) / 0.6).clamp(0, 1) * mask


def _assemble(
    rows: Tensor,
    columns: Tensor,
    scores: Tensor,
    fragments: Fragments,
    compose: Compose,
    precision: Precision,
) -> ViewMatrix:
    """Entries in any order, made into rows whose weights sum to 1."""
    device, count = scores.device, fragments.face.numel()
    rows, columns, scores = rows.cpu(), columns.cpu(), scores.cpu()  # where sums have one fixed order
    entry = scores.argsort(descending=True, stable=True)
    entry = entry[rows[entry].argsort(stable=True)]  # by row, the best source first
    if compose == "best":
        row = rows[entry]
        entry = entry[torch.cat((torch.ones(1, dtype=torch.bool), row[1:] != row[:-1]))[: len(row)]]
    rows, columns, scores = rows[entry], columns[entry], scores[entry]
    sources = torch.bincount(rows, minlength=count)
    weights = scores / scores.new_zeros(count).index_add_(0, rows, scores)[rows]
    mask = scores.new_zeros(count).index_add_(0, rows, weights) > 0.5
    graded = scores.new_zeros(count).index_add_(0, rows, weights * scores)
    shape = fragments.face.shape
    return ViewMatrix(
        row_ends=torch.cat((sources.new_zeros(1), sources.cumsum(0))),
        columns=columns,
        weights=weights,
        precision=(graded if precision == "graded" else mask.float()).reshape(shape),
        mask=mask.reshape(shape),
        fragments=fragments,
    ).to(device)


def _csr(row_ends: Tensor, columns: Tensor, weights: Tensor, count: int) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(row_ends, columns, weights, (count, count), check_invariants=False)


def _product(row_ends: Tensor, columns: Tensor, weights: Tensor, flat: Tensor) -> Tensor:
    """Rows times ``flat`` [q, c] by gathering, in its dtype: where sparse tensors do not serve."""
    row = torch.repeat_interleave(row_ends.diff(), output_size=len(columns))
    part = flat[columns] * weights.to(flat.dtype).unsqueeze(1)
    return flat.new_zeros(len(row_ends) - 1, flat.shape[1]).index_add_(0, row, part)
