"""Networks and families behind two protocols, Captioner and Scorer: torch and transformers alone."""
