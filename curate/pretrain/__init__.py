"""Training a model on image-text pairs: a plain loop over objectives."""
