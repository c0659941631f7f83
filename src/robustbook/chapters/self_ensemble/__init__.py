"""Compute the content of the book's pages on Random Self-Ensemble (Liu and others 2018)."""
