"""An index over a run's pairs, for looking: filters, sorts, words, pictures and thresholds."""
