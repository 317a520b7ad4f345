"""Reading shards back as trainers do: what an export hands on is checked where it arrives."""
