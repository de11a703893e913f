"""What upgrading an embedding model is worth before all vectors are encoded again: nDCG@10.

    python bench/versions.py DATA_DIR
    python bench/versions.py DATA_DIR --bits 1 --json versions.json

DATA_DIR is as of bench.frontier, normalised vectors with qrels.tsv and train_query.*.npy. Its
vectors are the old model's; the new one is the old one with a linear head, fine-tuned by InfoNCE on
judged queries and their relevant passages. A binarizer is trained for each, the new one compatible
with the old one's codes of the base; then 1,000 judged queries that had no part in any of it search

- by either model's vectors, exactly;
- old codes by old queries, and new codes by new queries;
- old codes by new queries: nothing is encoded again (IndexSDCVersions, one version);
- an index of which a half of the vectors is encoded again, in one call (two versions);
- old codes by new queries that shortlist.binary.align turned: no training.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import shortlist
import torch
from shortlist.binary import RecurrentBinarizer, align, upgrade
from torch.nn.functional import normalize

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.frontier import dataset
from bench.relevance import judged, ndcg

K, IP = 10, shortlist.METRIC_INNER_PRODUCT
ASKED, EPOCHS = 1000, 4


def fine_tuned(
    base: np.ndarray, queries: np.ndarray, pairs: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """A head that brings the queries and passages of `pairs` together."""
    torch.manual_seed(0)
    left, right = torch.from_numpy(queries), torch.from_numpy(base)
    head = torch.nn.Linear(base.shape[1], base.shape[1], bias=False)
    torch.nn.init.eye_(head.weight)
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        for part in torch.randperm(len(pairs)).split(256):
            q, x = torch.from_numpy(pairs)[part].T
            passages = torch.cat([right[x], right[torch.randint(len(right), (2048,))]])
            scores = normalize(head(left[q])) @ normalize(head(passages)).T / 0.05
            loss = torch.nn.functional.cross_entropy(scores, torch.arange(len(part)))
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()

    @torch.no_grad()
    def embed(x: np.ndarray) -> np.ndarray:
        return normalize(head(torch.from_numpy(x))).numpy()

    return embed


def coded(encoder: dict[str, np.ndarray], x: np.ndarray) -> shortlist.IndexSDC:
    index = shortlist.IndexSDC(x.shape[1], metric=IP, encoder=encoder)
    index.add(x)
    return index


def measure(
    base: np.ndarray,
    queries: np.ndarray,
    training: np.ndarray,
    relevant: dict[int, set[int]],
    bits: int,
) -> dict[str, float]:
    judged_queries = np.random.default_rng(0).permutation(sorted(relevant))
    asked, known = np.sort(judged_queries[:ASKED]), judged_queries[ASKED:]
    embed = fine_tuned(base, queries, np.array([(q, x) for q in known for x in relevant[q]]))
    new_base, new_training, new_queries = embed(base), embed(training), embed(queries[asked])
    queries, wanted = queries[asked], {i: relevant[q] for i, q in enumerate(asked)}
    out: dict[str, float] = {}

    def tell(name: str, index: shortlist.Index, q: np.ndarray) -> None:
        out[name] = ndcg(index.search(q, K)[1], wanted)
        print(f"{name}: {out[name]:.4f}", file=sys.stderr)

    for name, x, q in (("old", base, queries), ("new", new_base, new_queries)):
        exact = shortlist.IndexFlatIP(x.shape[1])
        exact.add(x)
        tell(f"{name} vectors, {name} queries", exact, q)
    dim = base.shape[1]
    old, new = RecurrentBinarizer(dim, bits=bits), RecurrentBinarizer(dim, bits=bits)
    old.fit(base, queries=training)
    new.fit(new_base, queries=new_training, compatible_with=old, old_base=base)
    tell("old codes, old queries", coded(old.export(), base), queries)
    turned = align(new_training, training)(new_queries)
    tell("old codes, new queries aligned, untrained", coded(old.export(), base), turned)
    tell("old codes, new queries", upgrade(coded(old.export(), base), new.export()), new_queries)
    # Ids keep passages apart from rows: every other passage is encoded again, behind the others.
    again = np.arange(len(base)) % 2 == 1
    mixed = shortlist.IndexIDMap(shortlist.IndexSDC(dim, metric=IP, encoder=old.export()))
    mixed.add_with_ids(base[~again], np.flatnonzero(~again))
    mixed = upgrade(mixed, new.export())
    mixed.add_with_ids(new_base[again], np.flatnonzero(again))
    tell("half of the codes new, new queries", mixed, new_queries)
    tell("new codes, new queries", coded(new.export(), new_base), new_queries)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("data", type=Path, help="folder with base.*.npy, query.*.npy, qrels.tsv")
    add("--bits", type=int, default=2, help="of a code dimension (default: %(default)s)")
    add("--json", type=Path, help="where to write the figures")
    args = parser.parse_args()
    data = dataset.load(args.data, K, None, None, "ip")
    relevant = judged(args.data, len(data.queries))
    files = sorted(args.data.glob("train_query.*.npy"))
    if len(relevant) < 2 * ASKED or not files:
        parser.error(
            f"{args.data}: expected train_query.*.npy and {2 * ASKED} queries in qrels.tsv"
        )
    base, queries, training = (
        np.array(x, np.float32) for x in (data.base, data.queries, np.load(files[0]))
    )
    figures = measure(base, queries, training, relevant, args.bits)
    print(f"{data.name}: {len(base):,} vectors, {ASKED:,} judged queries\n")
    print("| nDCG@10 | |\n|---|---:|")
    for name, value in figures.items():
        print(f"| {name} | {value:.4f} |")
    if args.json:
        args.json.write_text(json.dumps({"bits": args.bits, "ndcg": figures}, indent=1))


if __name__ == "__main__":
    main()
