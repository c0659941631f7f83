"""The studies of Random Self-Ensemble (Liu, Cheng, Zhang and Hsieh 2018)."""
