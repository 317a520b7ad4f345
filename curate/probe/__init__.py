"""What a run will take, from a sample of its rows: drawn, worked on and timed, then scaled up."""
