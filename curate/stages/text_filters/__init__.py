"""Text filters: judge texts, not rows; an image with bad web texts still goes to the captioner."""
