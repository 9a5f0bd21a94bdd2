"""Which faces touch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from numpy import ndarray


def shared_edges(faces: Int[ndarray, "f 3"]) -> tuple[Int[ndarray, "e 2"], Bool[ndarray, " e"]]:
    """Pairs of faces that share an edge with no third face, and whether both run along it the same way.

    Neighbours that are wound consistently run along their edge in opposite directions.
    """
    half, same = edge_pairs(faces)
    return half // 3, same


def edge_pairs(faces: Int[ndarray, "f 3"]) -> tuple[Int[ndarray, "e 2"], Bool[ndarray, " e"]]:
    """As :func:`shared_edges`, but naming edges: ``3 * face + k`` runs from corner k to the next one."""
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    key = edges.min(1) * (int(faces.max()) + 1) + edges.max(1)
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(key[order]) != 0))
    two = starts[np.diff(np.append(starts, len(order))) == 2]
    one, other = order[two], order[two + 1]
    return np.stack([one, other], 1), edges[one, 0] == edges[other, 0]


def components(count: int, pairs: Int[ndarray, "e 2"]) -> Int[ndarray, " n"]:
    """Label of each of ``count`` things; those that a chain of pairs connects have the same."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    return connected_components(graph, directed=False)[1]
