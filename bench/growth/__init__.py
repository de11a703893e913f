"""How the cost of shortlist's HNSW grows with the number of vectors, at one recall.

    python -m bench.growth DATA_DIR

What is measured is told in bench/README.md.
"""
