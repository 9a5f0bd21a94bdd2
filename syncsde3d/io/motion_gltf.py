"""Motions as animated, skinned figures in GLB.

Specification: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html, sections 3.7.3 (skins) and 3.11
(animations).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from syncsde3d.io.gltf import (
    ARRAY_BUFFER,
    ELEMENT_ARRAY_BUFFER,
    FLOAT,
    UNSIGNED_INT,
    UNSIGNED_SHORT,
    GltfBuffer,
    glb_container,
)
from syncsde3d.io.output import writing
from syncsde3d.motion.mannequin import mannequin
from syncsde3d.motion.rotations import matrix_to_quaternion
from syncsde3d.motion.skeleton import inverse_kinematics

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray

    from syncsde3d.motion.mannequin import Skin
    from syncsde3d.motion.skeleton import Pose
    from syncsde3d.motion.types import Motion, Segment

_UNSIGNED_BYTE = 5121


def write_motion_glb(path: str | os.PathLike[str], motion: Motion) -> None:
    """Write ``motion`` as a mannequin with a skeleton of 22 joints and one animation.

    Metres, +Y up; the rest pose is a T-pose. The prompts are in the animation's ``extras``, in seconds.
    three.js hides a skin that walks away from its first place unless its ``frustumCulled`` is false.

    Raises:
        OSError: the file cannot be written.
    """
    pose = inverse_kinematics(motion.joints.detach().cpu())
    write_skinned_glb(path, mannequin(pose.offsets), pose, motion.fps, motion.segments)


def write_skinned_glb(
    path: str | os.PathLike[str], skin: Skin, pose: Pose, fps: float, segments: tuple[Segment, ...] = ()
) -> None:
    """Write a mesh that moves as ``pose`` does.

    pose: rotations of the skin's first k joints [t, k, 3, 3], and positions of its root [t, 3]; its offsets
    are not read, those of ``skin`` count. Joints beyond the k rest.

    Raises:
        ValueError: more rotations than the skin has joints.
        OSError: the file cannot be written.
    """
    if pose.rotations.shape[-3] > len(skin.names):
        raise ValueError(f"pose turns {pose.rotations.shape[-3]} joints, the skin has {len(skin.names)}")
    data = _glb(skin, pose, fps, segments)
    with writing(path) as temporary:
        temporary.write_bytes(data)


def _glb(skin: Skin, pose: Pose, fps: float, segments: tuple[Segment, ...]) -> bytes:
    buffer, count = GltfBuffer(), len(skin.names)
    rest = skin.rest.double().cpu().numpy()
    nodes: list[dict[str, Any]] = []
    for j, (name, parent) in enumerate(zip(skin.names, skin.parents, strict=True)):
        offset = rest[j] - (rest[parent] if parent >= 0 else 0)
        children = [child for child, other in enumerate(skin.parents) if other == j]
        node = {"name": name, "translation": offset.tolist()}
        nodes.append({**node, "children": children} if children else node)
    nodes.append({"name": "figure", "mesh": 0, "skin": 0})
    inverse = np.tile(np.eye(4, dtype="<f4"), (count, 1, 1))  # columns first, so the last row is the shift
    inverse[:, 3, :3] = -rest
    primitives = _primitives(buffer, skin)
    bind = _values(buffer, inverse.reshape(count, 16), "MAT4")
    tree = {
        "asset": {"version": "2.0", "generator": "syncsde3d"},
        "scene": 0,
        "scenes": [{"nodes": [skin.parents.index(-1), count]}],
        "nodes": nodes,
        "meshes": [{"name": "figure", "primitives": primitives}],
        "skins": [{"name": "skeleton", "joints": list(range(count)), "inverseBindMatrices": bind}],
        "materials": [_material(name, colour) for name, colour, _ in skin.materials],
        "animations": [_animation(buffer, skin, pose, fps, segments)],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    return glb_container(tree, bytes(buffer.data))


def _primitives(buffer: GltfBuffer, skin: Skin) -> list[dict[str, Any]]:
    """One primitive per material, all over the same vertices."""
    positions, normals, weights = (
        values.cpu().numpy().astype("<f4") for values in (skin.vertices, skin.normals, skin.weights)
    )
    joints = np.where(weights > 0, skin.joints.cpu().numpy(), 0).astype("u1")
    attributes = {
        "POSITION": buffer.accessor(positions, FLOAT, "VEC3", ARRAY_BUFFER, bounds=True),
        "NORMAL": buffer.accessor(normals, FLOAT, "VEC3", ARRAY_BUFFER),
        "JOINTS_0": buffer.accessor(joints, _UNSIGNED_BYTE, "VEC4", ARRAY_BUFFER),
        "WEIGHTS_0": buffer.accessor(weights, FLOAT, "VEC4", ARRAY_BUFFER),
    }
    faces = skin.faces.cpu().numpy()
    kind, dtype = (UNSIGNED_SHORT, "<u2") if len(positions) < 2**16 else (UNSIGNED_INT, "<u4")
    return [
        {
            "attributes": attributes,
            "indices": buffer.accessor(
                faces[run].ravel().astype(dtype), kind, "SCALAR", ELEMENT_ARRAY_BUFFER
            ),
            "material": i,
        }
        for i, (_, _, run) in enumerate(skin.materials)
        if run.stop > run.start
    ]


def _material(name: str, colour: tuple[int, int, int]) -> dict[str, Any]:
    """Rough, not metallic. glTF's factors are linear (IEC 61966-2-1 undone)."""
    c = np.array(colour) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    surface = {"baseColorFactor": [*linear.tolist(), 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.65}
    return {"name": name, "pbrMetallicRoughness": surface}


def _animation(
    buffer: GltfBuffer, skin: Skin, pose: Pose, fps: float, segments: tuple[Segment, ...]
) -> dict[str, Any]:
    """A track of rotations for every joint of the pose, and one for the root's path."""
    root = pose.root.cpu().numpy().astype("<f4")
    times = _values(buffer, (np.arange(len(root)) / fps).astype("<f4"), "SCALAR", bounds=True)
    tracks = [("translation", skin.parents.index(-1), _values(buffer, root, "VEC3"))]
    for j, turns in enumerate(pose.rotations.unbind(1)):
        quaternions = _continuous(matrix_to_quaternion(turns.double().cpu()).numpy())
        values = quaternions[:, [1, 2, 3, 0]].astype("<f4")  # glTF: x, y, z, w
        tracks.append(("rotation", j, _values(buffer, values, "VEC4")))
    return {
        "name": "motion",
        "channels": [
            {"sampler": i, "target": {"node": node, "path": what}} for i, (what, node, _) in enumerate(tracks)
        ],
        "samplers": [{"input": times, "interpolation": "LINEAR", "output": track} for *_, track in tracks],
        "extras": {
            "fps": fps,
            "segments": [{"prompt": s.prompt, "start": s.start / fps, "end": s.end / fps} for s in segments],
        },
    }


def _continuous(q: Float[ndarray, "t 4"]) -> Float[ndarray, "t 4"]:
    """The same rotations, each quaternion on the side of the one before: the short way to turn."""
    flips = np.where((q[1:] * q[:-1]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    return np.concatenate([q[:1], q[1:] * np.cumprod(flips, axis=0)])


def _values(buffer: GltfBuffer, values: ndarray, shape: str, bounds: bool = False) -> int:
    """An accessor that is not a part of a mesh."""
    entry = {
        "bufferView": buffer.view(values.tobytes()),
        "componentType": FLOAT,
        "count": len(values),
        "type": shape,
    }
    if bounds:
        entry |= {"min": [float(values.min())], "max": [float(values.max())]}
    buffer.accessors.append(entry)
    return len(buffer.accessors) - 1
