"""What every command does to files: atomic, locked writing, and reading what people wrote."""
