"""Train the scorer that ships beside the sample texts, on other queries of their kind.

    python -m bench.make_scorer DATA [--out python/shortlist/sample/texts/scorer.npz]

DATA holds textmini/, see bench/rerank/data.py. Queries of the sample are left out of the training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import shortlist
import torch
from shortlist.rerank import MLP, Candidates, fit
from shortlist.rerank.metrics import ndcg

from bench.rerank.data import Texts

HIDDEN = 32
CANDIDATES = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with textmini/")
    parser.add_argument(
        "--out", type=Path, default=Path("python/shortlist/sample/texts/scorer.npz")
    )
    args = parser.parse_args()
    data = Texts.load(args.data / "textmini", held_out=0)
    sample = set(shortlist.datasets.sample("texts").query_texts)
    unseen = [i for i, text in enumerate(data.train.texts) if text not in sample]
    vectors, relevant = data.train.vectors[unseen], data.train.relevant.select(unseen)

    index = shortlist.IndexFlatIP(data.base.shape[1], dtype="float16")
    index.add(data.base)
    found = Candidates.from_search(*index.search(vectors, CANDIDATES), "similarity")
    torch.manual_seed(0)
    scorer = MLP(data.base.shape[1], HIDDEN)
    history = fit(scorer, vectors, found, relevant, data.base, epochs=6, progress=print)
    print(f"{len(unseen)} queries; nDCG@10 of all {ndcg(found, relevant):.4f}; {history[-1]}")
    weights = {name: x.numpy().astype(np.float16) for name, x in scorer.state_dict().items()}
    np.savez(args.out, **weights)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
