"""Questions about many futures: where an outcome is large, what a lever does over its range, what is robust."""
