"""How far a run, a training or a loop is, read from its folder alone, also while it goes on."""
