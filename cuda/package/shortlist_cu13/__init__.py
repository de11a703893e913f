"""Where shortlist finds its CUDA plugin. Nothing to import here: see shortlist.gpu."""
