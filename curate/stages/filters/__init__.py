"""Row filters: give every row a null (keep) or a reason code, from cheap columns alone."""
