"""Recall against queries per second, beside faiss, hnswlib and usearch, in one run.

    python -m bench.frontier DATA_DIR

What is measured, and why it can be trusted, is told in bench/README.md.
"""
