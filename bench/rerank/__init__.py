"""What each scorer of shortlist.rerank adds to the order of the candidates, and what it costs."""
