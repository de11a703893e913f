"""Reranking: put the candidates that a search found into a better order, with PyTorch.

    found = Candidates.from_search(*index.search(queries, 100))
    best = Reranker(scorer, store).rank_many(queries, found, top_k=10)

`Candidates` are ragged lists of ids and scores. A `Scorer` gives each candidate a score, a
`Reranker` runs it over any number of them in bounded memory, `TwoStage` joins it to an index.
`losses`, `metrics` and `fit` train scorers and say what they are worth. Needs torch:
pip install 'shortlist[rerank]'.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("shortlist.rerank needs torch: pip install 'shortlist[rerank]'") from error

from . import losses as losses
from . import metrics as metrics
from .candidates import Candidates as Candidates
from .candidates import Tokens as Tokens
from .reranker import Ranked as Ranked
from .reranker import Reranker as Reranker
from .scorers import MLP as MLP
from .scorers import CrossEncoder as CrossEncoder
from .scorers import Dot as Dot
from .scorers import MaxSim as MaxSim
from .scorers import Scorer as Scorer
from .store import Store as Store
from .training import Epoch as Epoch
from .training import fit as fit
from .two_stage import TwoStage as TwoStage
