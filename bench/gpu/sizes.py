"""How large the cases are. Of this alone peers know, which need not have shortlist beside them."""

from __future__ import annotations

# Of each group of cases: rows, dimensions and queries, on a GPU and on the host.
GPU: dict[str, tuple[int, ...]] = {
    "brute-768": (10_000_000, 768),
    "brute-128": (1_000_000, 128, 10_000),
    "assign": (1_048_064, 128, 16_384),
    "update": (10_000_000, 128, 16_384),
    "bits": (50_000_000, 1024, 1000),
    "codes": (50_000_000, 64),
    "lists": (8_388_608, 128, 8192, 64, 1000),
    "graph": (2_000_000, 128, 32, 64, 10_000),
    "rescore": (1024, 1000, 768),
    "max_sim": (1000, 180, 128),
    "select": (1000, 1_000_000),
}
HOST: dict[str, tuple[int, ...]] = {
    "brute-768": (320, 32),
    "brute-128": (320, 16, 130),
    "assign": (320, 16, 64),
    "update": (320, 16, 64),
    "bits": (320, 256, 3),
    "codes": (320, 16),
    "lists": (640, 16, 10, 3, 5),
    "graph": (320, 16, 4, 8, 5),
    "rescore": (4, 10, 16),
    "max_sim": (4, 5, 16),
    "select": (5, 700),
}
BATCHES = {"gpu": (100, 10_000), "host": (3, 130)}  # of brute-768
K = 10
