"""Indexes on disk: posting lists in a folder, of which a search reads a few (SPANN).

`shortlist.build(source, "SPANN", out=folder, memory="2GB")` makes one, `shortlist.open(folder)`
opens it. `Plan` names the knobs of a build.

Source: Chen et al. 2021, SPANN: Highly-efficient Billion-scale Approximate Nearest Neighbor Search
(arXiv 2111.08566).
"""

from ._build import build
from ._index import IndexSPANN, open
from ._plan import Plan

__all__ = ["IndexSPANN", "Plan", "build", "open"]
