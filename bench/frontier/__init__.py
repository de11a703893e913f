"""Recall against queries per second, beside the peers, in one run.

    python -m bench.frontier DATA_DIR

What is measured, and why it can be trusted, is told in bench/README.md.
"""
