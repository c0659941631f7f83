"""The survey of adversarial training and of defenses that are related to it."""
