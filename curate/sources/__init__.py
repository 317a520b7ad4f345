"""Sources: where rows come from; each file is one kind."""
