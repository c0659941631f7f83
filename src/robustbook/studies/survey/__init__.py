"""The studies of the survey: defenses against adversarial examples, from 2013 to 2019."""
