"""A Jupyter Book that re-runs the experiments of papers on adversarial examples."""
