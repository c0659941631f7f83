"""A Jupyter Book that re-runs its papers."""
