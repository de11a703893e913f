"""What each step of the graph search is worth: alone, and when it is taken out of the whole.

    python -m bench.ablation DATA_DIR

What is measured is told in bench/README.md.
"""
