"""Re-run the experiments of papers on adversarial examples, as a Jupyter Book."""
