"""The commands, a file each: options, and what is said to people and scripts."""
