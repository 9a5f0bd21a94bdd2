"""Synchronised diffusion (SyncSDE) for textured meshes, long motion and composed images.

The names below are the public interface; each is imported when it is first used, so that parts of the
package (``syncsde3d.core``, ``syncsde3d.mesh``) can be used without the others' dependencies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syncsde3d.lit.datamodules import MeshDataModule
    from syncsde3d.lit.items import MeshItem, TexturedMesh
    from syncsde3d.lit.motion import LongMotion
    from syncsde3d.lit.motion_data import MotionScriptDataModule
    from syncsde3d.lit.motion_items import MotionItem, MotionResult
    from syncsde3d.lit.motion_writer import MotionWriter
    from syncsde3d.lit.texturing import MeshTexturing
    from syncsde3d.lit.writers import TexturedMeshWriter

__version__ = "0.1.0"

_HOME = {
    "LongMotion": "syncsde3d.lit.motion",
    "MeshDataModule": "syncsde3d.lit.datamodules",
    "MeshItem": "syncsde3d.lit.items",
    "MeshTexturing": "syncsde3d.lit.texturing",
    "MotionItem": "syncsde3d.lit.motion_items",
    "MotionResult": "syncsde3d.lit.motion_items",
    "MotionScriptDataModule": "syncsde3d.lit.motion_data",
    "MotionWriter": "syncsde3d.lit.motion_writer",
    "TexturedMesh": "syncsde3d.lit.items",
    "TexturedMeshWriter": "syncsde3d.lit.writers",
}

__all__ = [
    "LongMotion",
    "MeshDataModule",
    "MeshItem",
    "MeshTexturing",
    "MotionItem",
    "MotionResult",
    "MotionScriptDataModule",
    "MotionWriter",
    "TexturedMesh",
    "TexturedMeshWriter",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'syncsde3d' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
