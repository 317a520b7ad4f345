"""A finished run's selection as a stream of samples: for torch, and for Ray Data."""
