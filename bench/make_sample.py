"""Cut the vectors that ship in python/shortlist/sample from larger data sets.

    python bench/make_sample.py DATA [--out python/shortlist/sample]

DATA holds photosift/ (base.u8.npy, query.u8.npy) and textmini/ (base.f16.npy, query.f16.npy,
passages.jsonl.gz, queries.jsonl.gz, qrels.tsv). Same input, same output, byte for byte.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import numpy as np

SEED = 7
K = 50
SIFT_BASE, SIFT_QUERIES = 12_000, 500
TEXT_BASE, TEXT_QUERIES = 2_200, 300


def exact(base: np.ndarray, queries: np.ndarray, metric: str) -> np.ndarray:
    """The K nearest rows in float64, ties by row number."""
    base, queries = base.astype(np.float64), queries.astype(np.float64)
    scores = -queries @ base.T
    if metric == "l2":  # integers: exact in float64
        scores = 2 * scores + (base**2).sum(1)
    return np.argsort(scores, axis=1, kind="stable")[:, :K].astype(np.int32)


def cut_sift(source: Path, out: Path) -> None:
    rng = np.random.default_rng(SEED)
    base, queries = (np.load(source / f"{n}.u8.npy", mmap_mode="r") for n in ("base", "query"))
    base = base[np.sort(rng.choice(len(base), SIFT_BASE, replace=False))]
    queries = queries[np.sort(rng.choice(len(queries), SIFT_QUERIES, replace=False))]
    np.save(out / "base.u8.npy", base)
    np.save(out / "query.u8.npy", queries)
    np.save(out / "gt.i32.npy", exact(base, queries, "l2"))


def cut_texts(source: Path, out: Path) -> None:
    rng = np.random.default_rng(SEED)
    passages, questions = (json_lines(source / f"{n}.jsonl.gz") for n in ("passages", "queries"))
    base, queries = (np.load(source / f"{n}.f16.npy", mmap_mode="r") for n in ("base", "query"))
    wordnet = np.array([p["source"] == "wordnet" for p in passages])  # the permissive licence
    relevant: dict[int, list[int]] = {}
    for line in (source / "qrels.tsv").read_text().splitlines():
        query, passage = map(int, line.split("\t"))
        if wordnet[passage]:
            relevant.setdefault(query, []).append(passage)
    chosen = np.sort(rng.choice(sorted(relevant), TEXT_QUERIES, replace=False)).tolist()

    # Relevant passages, then the queries' nearest others until half is full, then any.
    keep = dict.fromkeys(p for q in chosen for p in relevant[q])
    rows = np.flatnonzero(wordnet)
    near = rows[exact(base[rows], queries[chosen], "ip")]
    fill = [near.T.ravel(), rng.permutation(rows)]
    for order, limit in zip(fill, (TEXT_BASE // 2, TEXT_BASE), strict=True):
        for passage in order.tolist():
            if len(keep) == limit:
                break
            keep[passage] = None
    kept = sorted(keep)
    position = {passage: i for i, passage in enumerate(kept)}

    np.save(out / "base.f16.npy", base[kept])
    np.save(out / "query.f16.npy", queries[chosen])
    np.save(out / "gt.i32.npy", exact(base[kept], queries[chosen], "ip"))
    write_texts(out / "passages.jsonl.gz", [passages[p]["text"] for p in kept])
    write_texts(out / "queries.jsonl.gz", [questions[q]["text"] for q in chosen])
    lines = [f"{i}\t{position[p]}\n" for i, q in enumerate(chosen) for p in relevant[q]]
    (out / "qrels.tsv").write_text("".join(lines))


def json_lines(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_texts(path: Path, texts: list[str]) -> None:
    lines = "".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts)
    path.write_bytes(gzip.compress(lines.encode(), mtime=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with photosift/ and textmini/")
    parser.add_argument("--out", type=Path, default=Path("python/shortlist/sample"))
    args = parser.parse_args()
    for name, source, cut in (("sift", "photosift", cut_sift), ("texts", "textmini", cut_texts)):
        folder = args.out / name
        folder.mkdir(parents=True, exist_ok=True)
        cut(args.data / source, folder)
        size = sum(f.stat().st_size for f in folder.iterdir())
        print(f"{folder}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
