"""An index that lives: recall through churn, and speed under filters beside faiss and a scan."""
