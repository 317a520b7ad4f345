"""Networks and families behind two protocols, Captioner and Scorer."""
