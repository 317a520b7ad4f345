"""How good a model is: one evaluator, one file."""
