"""What ten times as many vectors cost an index on disk: to build in a fixed memory, and to ask.

    python -m bench.disk.growth --sizes 1,3,10
    python -m bench.disk.growth --sizes 0.1,0.3 --memory 32MB --out DIR

Vectors come from a generator, as no data set has every size: points of a mixture of Gaussians in 22
latent dimensions, sent through a fixed smooth map to 128 values and rounded to uint8. So they have
about as many intrinsic dimensions as image descriptors (SIFT has 21.6 by shortlist.lid), and a
larger set is a denser sample of the same thing, not copies with noise. Sizes are in millions; a
smaller set is the beginning of the larger one. Each size is built twice: within --memory, where
postings grow longer once the memory is full of centroids, and as large as it likes, where their
number grows with the vectors.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import shortlist

from bench.disk.reached import reached
from bench.disk.worker import K, Worker
from bench.frontier.commandline import tell
from bench.frontier.report import table

D, LATENT, HIDDEN, CENTRES = 128, 22, 256, 64
PIECE = 100_000  # rows made at a time
QUERIES = 200
MiB = 1 << 20


class Generator:
    """Rows of piece p are the same whatever else is made."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = np.random.default_rng(seed)
        self.centres = rng.normal(size=(CENTRES, LATENT)).astype(np.float32) * 0.5
        self.inner = rng.normal(size=(LATENT, HIDDEN)).astype(np.float32) / np.sqrt(LATENT)
        self.shift = rng.normal(size=HIDDEN).astype(np.float32)
        self.outer = rng.normal(size=(HIDDEN, D)).astype(np.float32) / np.sqrt(HIDDEN)
        some = self._floats(0, 10_000)
        self.low, self.high = np.quantile(some, [0.001, 0.999])

    def _floats(self, piece: int, rows: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, piece])
        latent = self.centres[rng.integers(CENTRES, size=rows)]
        latent = latent + rng.standard_normal((rows, LATENT), np.float32)
        hidden = np.tanh(1.5 * latent @ self.inner + self.shift)
        floats: np.ndarray = hidden @ self.outer
        return floats

    def rows(self, piece: int, rows: int = PIECE) -> np.ndarray:
        scaled = (self._floats(piece, rows) - self.low) * (255 / (self.high - self.low))
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def nearest(file: Path, queries: np.ndarray) -> np.ndarray:
    """The exact squared distance of each query's K-th neighbour, piece by piece."""
    base = np.load(file, mmap_mode="r")
    best = np.full((len(queries), K), np.inf)
    for at in range(0, len(base), PIECE):
        distances, _ = shortlist.knn(queries, np.ascontiguousarray(base[at : at + PIECE]), K)
        best = np.sort(np.concatenate([best, distances], 1), 1)[:, :K]
    return np.rint(best[:, -1])  # of integers


def recall(file: Path, queries: np.ndarray, kth: np.ndarray, ids: list[list[int]]) -> float:
    """Ties count."""
    base, wide = np.load(file, mmap_mode="r"), queries.astype(np.int64)
    hits = 0
    for query, limit, row in zip(wide, kth, ids, strict=True):
        found = base[sorted({i for i in row if i >= 0})].astype(np.int64)
        hits += int((((found - query) ** 2).sum(1) <= limit).sum())
    return hits / (len(queries) * K)


def measured(
    base: Path, queries: Path, kth: np.ndarray, memory: str | None, args: argparse.Namespace
) -> dict[str, Any]:
    """The build, and the fewest bytes at the recall, between two numbers of postings."""
    folder, log = args.out / "index", args.out / "log"
    worker = Worker("ours", sys.executable, log)
    built = worker.ask(
        "build",
        folder=str(folder),
        base=str(base),
        description="SPANN",
        memory=memory,
        metric="l2",
        threads=args.threads,
    )
    worker.close()
    worker = Worker("ours", sys.executable, log)
    worker.ask("open", queries=str(queries), folder=str(folder))
    asked = np.load(queries)
    found = reached(worker, len(asked), lambda ids: recall(base, asked, kth, ids), args.recall)
    out = {"memory": memory, **built, "reached": found, "search_memory": worker.ask("memory")}
    worker.close()
    shutil.rmtree(folder)
    return out


def markdown(about: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    head = ["vectors", "memory", "postings", "build wall s", "CPU s", "peak MiB", "disk MiB"]
    head += ["nprobe", "reads", "KiB a query", "p50 ms"]
    lines = []
    for row in rows:
        found = row["reached"]
        cells = ["not reached", "", "", ""]
        if found:
            cells = [f"{found[n]:.1f}" for n in ("nprobe", "reads")]
            cells += [f"{found['bytes'] / 1024:.0f}", f"{found['ms']:.2f}"]
        lines.append(
            [
                f"{row['rows']:,}",
                row["memory"] or "any",
                f"{row['plan']['postings']:,}",
                f"{row['wall_seconds']:.0f}",
                f"{row['cpu_seconds']:.0f}",
                f"{row['peak_bytes'] / MiB:,.0f}",
                f"{row['disk_bytes'] / MiB:,.0f}",
                *cells,
            ]
        )
    return (
        f"# On disk: growth at recall@{K} {about['recall']}\n\n"
        f"Generated vectors, 128 x uint8, intrinsic dimension {about['lid']:.1f}.\n\n"
        f"{table(head, lines)}\n"
    )


def plot(rows: list[dict[str, Any]], file: Path) -> None:
    """Both axes logarithmic; reads beside what they were if they grew as the root of the vectors.
    Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 4, figsize=(17, 4.5))
    told = {
        "CPU s to build": lambda row: row["cpu_seconds"],
        "peak MiB of the build": lambda row: row["peak_bytes"] / MiB,
        "reads of a query": lambda row: row["reached"]["reads"],
        "KiB read a query": lambda row: row["reached"]["bytes"] / 1024,
    }
    for panel, (title, value) in zip(panels, told.items(), strict=True):
        for memory in dict.fromkeys(row["memory"] for row in rows):
            some = [row for row in rows if row["memory"] == memory and row["reached"]]
            xs, ys = [row["rows"] for row in some], [value(row) for row in some]
            panel.plot(xs, ys, "o-", label=f"memory: {memory or 'any'}")
            if title == "reads of a query" and memory is None:
                roots = [ys[0] * (x / xs[0]) ** 0.5 for x in xs]
                panel.plot(xs, roots, "k:", label="square root of the vectors")
        panel.set(xscale="log", yscale="log", xlabel="vectors", title=title)
        panel.grid(True, which="both", alpha=0.3)
        panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.disk.growth", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--sizes", type=_sizes, default="1,3,10", help="millions (default: %(default)s)")
    add("--memory", default="128MB", help="of the build (default: %(default)s)")
    add("--recall", type=float, default=0.95, help="of 10 (default: %(default)s)")
    add("--threads", type=int, default=2, help="to build (default: %(default)s)")
    add("--seed", type=int, default=1, help="default: %(default)s")
    add("--out", type=Path, default=Path(__file__).parents[1] / "results" / "disk-growth")
    args = parser.parse_args()
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    make = Generator(args.seed)
    dimension = float(shortlist.lid(make.rows(1)[:2000], base=make.rows(0)).mean())
    tell(f"intrinsic dimension of a sample of {PIECE:,}: {dimension:.1f}")
    queries = args.out / "queries.npy"
    np.save(queries, make.rows(1 << 30, QUERIES))  # of a piece that no base has
    about = {"recall": args.recall, "lid": dimension, "seed": args.seed, "threads": args.threads}
    rows: list[dict[str, Any]] = []
    for size in args.sizes:
        base = args.out / "base.npy"
        held = np.lib.format.open_memmap(base, "w+", np.uint8, (size, D))
        for piece in range(-(-size // PIECE)):
            at = piece * PIECE
            held[at : at + PIECE] = make.rows(piece)[: size - at]
        held.flush()
        del held
        kth = nearest(base, np.load(queries))
        for memory in (args.memory, None):
            row = {"rows": size, **measured(base, queries, kth, memory, args)}
            rows.append(row)
            tell(markdown(about, [row]).splitlines()[-1])
            results = {"about": about, "rows": rows}
            (args.out / "growth.json").write_text(json.dumps(results, indent=1) + "\n")
        base.unlink()
    text = markdown(about, rows)
    (args.out / "growth.md").write_text(text)
    print(text)
    if importlib.util.find_spec("matplotlib"):
        plot(rows, args.out / "growth.png")
    else:
        tell("no plot: matplotlib is not installed (pip install matplotlib)")


def _sizes(text: str) -> list[int]:
    return [round(float(part) * 1e6) for part in text.split(",")]


if __name__ == "__main__":
    main()
