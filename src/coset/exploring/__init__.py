"""A trained run to look at: what is composed of held-out sets, a map of codes, and what each direction does."""
