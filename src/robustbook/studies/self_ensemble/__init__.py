"""Random Self-Ensemble (Liu, Cheng, Zhang and Hsieh 2018): what its tables and figures need."""
