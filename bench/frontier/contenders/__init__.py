"""One file per library; CONTENDERS maps the names `--libs` takes to their classes."""

from __future__ import annotations

from bench.frontier.contenders.base import Contender, Spec
from bench.frontier.contenders.faiss import Faiss, FaissLists
from bench.frontier.contenders.hnswlib import Hnswlib
from bench.frontier.contenders.ours import Ours, OursBlocks, OursLists
from bench.frontier.contenders.scann import Scann
from bench.frontier.contenders.svs import Svs
from bench.frontier.contenders.symphonyqg import SymphonyQG
from bench.frontier.contenders.usearch import Usearch

CONTENDERS: dict[str, type[Contender]] = {
    "ours": Ours,
    "ours-qg": OursBlocks,
    "ours-ivf": OursLists,
    "faiss": Faiss,
    "faiss-ivf": FaissLists,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
    "symphonyqg": SymphonyQG,
    "svs": Svs,
    "scann": Scann,
}

__all__ = ["CONTENDERS", "Contender", "Spec"]
