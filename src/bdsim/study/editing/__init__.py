"""A scenario file changed key by key, with everything else in it kept as it was."""
