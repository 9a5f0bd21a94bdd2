"""Which face each pixel sees: one protocol, one backend per file.

Every backend answers in the conventions of :mod:`syncsde3d.mesh.cameras` and with the meaning of
:class:`syncsde3d.mesh.types.Fragments`: pixel centres at i + 1/2, perspective-correct barycentrics, both
sides of a face rendered, the nearest face winning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, get_args, runtime_checkable

from torch import Tensor

from ..cameras import Cameras
from ..types import Fragments

if TYPE_CHECKING:
    from jaxtyping import Float, Int

RasterizerName = Literal["torch", "pytorch3d"]


@runtime_checkable
class Rasterizer(Protocol):
    """Anything that finds the nearest face at every pixel centre."""

    def rasterize(
        self,
        vertices: Float[Tensor, "v 3"],
        faces: Int[Tensor, "f 3"],
        cameras: Cameras,
        size: tuple[int, int],
    ) -> Fragments:
        """What each camera sees of the mesh in images of ``size`` = (height, width).

        Barycentrics and depth are differentiable in ``vertices``; which face a pixel sees is not. A face with
        a corner behind the camera, or nearer to it than ``NEAR``, is not drawn.
        """
        ...

    def rasterize_uv(
        self, uvs: Float[Tensor, "t 2"], uv_faces: Int[Tensor, "f 3"], size: tuple[int, int]
    ) -> Fragments:
        """Which face owns each texel of a texture of ``size`` = (height, width): one view (n = 1).

        Row 0 is the top (v = 1), barycentrics are linear in texture space, ``depth`` is 1 on every face, and
        where charts overlap the face of the lowest index wins (PyTorch3D leaves that undefined).
        """
        ...


def get_rasterizer(name: RasterizerName = "torch") -> Rasterizer:
    """The backend of that name; "pytorch3d" needs that package, which this one does not install."""
    if name == "torch":
        from .torch_backend import TorchRasterizer

        return TorchRasterizer()
    if name == "pytorch3d":
        from .pytorch3d_backend import PyTorch3DRasterizer

        return PyTorch3DRasterizer()
    raise ValueError(f"name: expected one of {', '.join(get_args(RasterizerName))}, got {name!r}")


__all__ = ["Rasterizer", "RasterizerName", "get_rasterizer"]
