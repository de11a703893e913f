"""Long contexts: attend to the few tokens that matter, found by codes of their keys.

    retriever = KVRetriever(128, kv_heads=8, q_heads=32).calibrate(queries, keys)
    retriever.append(keys)                                  # as tokens come, before RoPE
    ids = retriever.topk(query, fraction=0.03)              # for the newest token
    out = sparse_attention(apply_rope(query, n - 1), cache_k, cache_v, ids)

Each KV head keeps a code of each key, of one of 4,096 codewords, made so that inner products with
queries come out right (A2ATS, arXiv 2502.12665). A `KVRetriever` holds the codes of one layer and
one sequence, on the CPU or on the device of the model; keys and values stay in host memory, where
`sparse_attention` reads those of the retrieved tokens only. Needs torch:
pip install 'shortlist[rerank]'.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("shortlist.kv needs torch: pip install 'shortlist[rerank]'") from error

from .attention import sparse_attention as sparse_attention
from .lists import TokenLists as TokenLists
from .retriever import KVRetriever as KVRetriever
from .rope import apply_rope as apply_rope
from .rope import undo_rope as undo_rope
from .rope import windowed_rope_logits as windowed_rope_logits
