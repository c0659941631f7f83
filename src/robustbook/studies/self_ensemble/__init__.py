"""Reproduce Random Self-Ensemble (Liu, Cheng, Zhang and Hsieh 2018)."""
