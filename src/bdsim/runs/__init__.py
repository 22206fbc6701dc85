"""A scenario worked out, run and kept."""
