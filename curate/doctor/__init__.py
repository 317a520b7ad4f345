"""What this machine and cluster can run, and what is missing; nothing is installed or changed."""
