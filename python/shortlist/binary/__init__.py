"""Binary embeddings: a few bits for each dimension, trained so that search still finds the same.

    binarizer = RecurrentBinarizer(384, bits=1)
    binarizer.fit(base, queries=training_queries)
    codes = binarizer.encode(base)                      # (n, 384) uint8, 0 or 1
    scale, addend = factors(exported := binarizer.export(), base, codes)

A code is a row of odd integers. A float query is compared with it by one inner product of A q and
the code, or becomes a code itself (`encode_query`). `export` gives the weights, `encode` is what
they mean, in numpy; `align` and `compatible_with=` let new models search old codes, `upgrade` puts
codes of both into one index, and `SimplexClassifier` trains models that agree from the start.

Training needs torch: pip install 'shortlist[rerank]'. The functions (`encode`, `read_query`,
`encode_query`, `decode`, `factors`, `odd_integers`, `align`, `upgrade`) need numpy alone.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from .alignment import Alignment as Alignment
from .alignment import align as align
from .reference import decode as decode
from .reference import encode as encode
from .reference import encode_query as encode_query
from .reference import factors as factors
from .reference import odd_integers as odd_integers
from .reference import read_query as read_query
from .versions import upgrade as upgrade

if TYPE_CHECKING:
    from .module import RecurrentBinarizer as RecurrentBinarizer
    from .simplex import SimplexClassifier as SimplexClassifier
    from .training import Step as Step

# What needs torch, loaded when first asked for.
_LAZY = {"RecurrentBinarizer": "module", "SimplexClassifier": "simplex", "Step": "training"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import torch as _torch  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"shortlist.binary.{name} needs torch: pip install 'shortlist[rerank]'"
        ) from error
    value = getattr(_import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
