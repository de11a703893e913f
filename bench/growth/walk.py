"""The walk of cpp/graph/walk.h in Python, to count the distances it computes.

The library counts nothing in its hot path, so the links are read from a saved index, in faiss's
format and by faiss, and walked again here by exact distances. On bytes that is the library's walk,
step by step. Vectors of floats the library walks by int8 codes, so there the count is an estimate.
"""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np

from bench.frontier.dataset import Dataset, exact_distances

EXPANDED_TOGETHER = 3  # kExpandedTogether


class Graph:
    """The links of a saved index, over the vectors it was built from."""

    def __init__(self, file: Path, data: Dataset) -> None:
        index = faiss.read_index(str(file))  # which owns what hnsw refers to
        hnsw = index.hnsw
        self._links = faiss.vector_to_array(hnsw.neighbors)
        self._begin = faiss.vector_to_array(hnsw.offsets).astype(np.int64)
        self._level = faiss.vector_to_array(hnsw.cum_nneighbor_per_level)
        self._entry, self._top = int(hnsw.entry_point), int(hnsw.max_level)
        self._data = data
        self._seen = np.zeros(len(data.base), bool)

    def search(self, query: np.ndarray, ef: int) -> tuple[np.ndarray, int]:
        """The ef nodes found, nearest first, and how many distances that took."""
        at, distance, computed = self._descend(query)
        visited = ids = np.array([at])
        distances, expanded = np.array([distance]), np.array([False])
        self._seen[at] = True
        while len(chosen := np.flatnonzero(~expanded)[:EXPANDED_TOGETHER]):
            expanded[chosen] = True
            fresh = np.unique(np.concatenate([self._of(node, 0) for node in ids[chosen]]))
            fresh = fresh[~self._seen[fresh]]
            self._seen[fresh] = True
            visited = np.append(visited, fresh)
            computed += len(fresh)
            ids = np.append(ids, fresh)
            distances = np.append(distances, self._distances(query, fresh))
            expanded = np.append(expanded, np.zeros(len(fresh), bool))
            nearest = np.argsort(distances, kind="stable")[:ef]
            ids, distances, expanded = ids[nearest], distances[nearest], expanded[nearest]
        self._seen[visited] = False
        return ids, computed

    def _descend(self, query: np.ndarray) -> tuple[int, float, int]:
        """The nearest node that the upper levels lead to, its distance, distances computed."""
        at, computed = self._entry, 1
        distance = self._distances(query, np.array([at]))[0]
        for level in range(self._top, 0, -1):
            moved = True
            while moved:
                links = self._of(at, level)
                distances = self._distances(query, links)
                computed += len(links)
                moved = len(links) > 0 and distances.min() < distance
                if moved:
                    at, distance = int(links[distances.argmin()]), distances.min()
        return at, distance, computed

    def _of(self, node: int, level: int) -> np.ndarray:
        begin = self._begin[node]
        row = self._links[begin + self._level[level] : begin + self._level[level + 1]]
        return row[row >= 0]

    def _distances(self, query: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        return exact_distances(self._data.base, query[None], nodes[None], self._data.metric)[0]
