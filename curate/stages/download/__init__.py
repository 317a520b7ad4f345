"""Map stages that bring pictures in: over HTTP, or from a local folder."""
