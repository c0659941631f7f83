"""What the pages on Yan, Guo and Zhang 2018 show."""
