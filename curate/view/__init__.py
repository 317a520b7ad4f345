"""The application behind ``curate view``: a run's pairs in a browser, on this machine alone."""
