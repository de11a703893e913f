"""faiss.contrib's modules, as far as they are here."""
