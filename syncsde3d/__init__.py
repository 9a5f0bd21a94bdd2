"""Synchronised diffusion (SyncSDE) for textured meshes, long motion and composed images.

The names below are the public interface; each is imported when it is first used, so that parts of the
package (``syncsde3d.core``, ``syncsde3d.mesh``) can be used without the others' dependencies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syncsde3d.lit.ambiguous import AmbiguousImage
    from syncsde3d.lit.datamodules import MeshDataModule
    from syncsde3d.lit.editing import ImageEditing
    from syncsde3d.lit.image_data import PromptDataModule
    from syncsde3d.lit.image_items import AmbiguousItem, EditItem, ImageResult, MaskedItem, Region, WideItem
    from syncsde3d.lit.image_writer import ImageWriter
    from syncsde3d.lit.items import MeshItem, TexturedMesh
    from syncsde3d.lit.masked import MaskedImage
    from syncsde3d.lit.motion import LongMotion
    from syncsde3d.lit.motion_data import MotionScriptDataModule
    from syncsde3d.lit.motion_items import MotionItem, MotionResult
    from syncsde3d.lit.motion_writer import MotionWriter
    from syncsde3d.lit.texturing import MeshTexturing
    from syncsde3d.lit.wide import WideImage
    from syncsde3d.lit.writers import TexturedMeshWriter

__version__ = "0.1.0"

_HOME = {
    "AmbiguousImage": "syncsde3d.lit.ambiguous",
    "AmbiguousItem": "syncsde3d.lit.image_items",
    "EditItem": "syncsde3d.lit.image_items",
    "ImageEditing": "syncsde3d.lit.editing",
    "ImageResult": "syncsde3d.lit.image_items",
    "ImageWriter": "syncsde3d.lit.image_writer",
    "LongMotion": "syncsde3d.lit.motion",
    "MaskedImage": "syncsde3d.lit.masked",
    "MaskedItem": "syncsde3d.lit.image_items",
    "MeshDataModule": "syncsde3d.lit.datamodules",
    "MeshItem": "syncsde3d.lit.items",
    "MeshTexturing": "syncsde3d.lit.texturing",
    "MotionItem": "syncsde3d.lit.motion_items",
    "MotionResult": "syncsde3d.lit.motion_items",
    "MotionScriptDataModule": "syncsde3d.lit.motion_data",
    "MotionWriter": "syncsde3d.lit.motion_writer",
    "PromptDataModule": "syncsde3d.lit.image_data",
    "Region": "syncsde3d.lit.image_items",
    "TexturedMesh": "syncsde3d.lit.items",
    "TexturedMeshWriter": "syncsde3d.lit.writers",
    "WideImage": "syncsde3d.lit.wide",
    "WideItem": "syncsde3d.lit.image_items",
}

__all__ = [
    "AmbiguousImage",
    "AmbiguousItem",
    "EditItem",
    "ImageEditing",
    "ImageResult",
    "ImageWriter",
    "LongMotion",
    "MaskedImage",
    "MaskedItem",
    "MeshDataModule",
    "MeshItem",
    "MeshTexturing",
    "MotionItem",
    "MotionResult",
    "MotionScriptDataModule",
    "MotionWriter",
    "PromptDataModule",
    "Region",
    "TexturedMesh",
    "TexturedMeshWriter",
    "WideImage",
    "WideItem",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'syncsde3d' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
