"""What is kept of a run: parts while it goes on, tables and a manifest when it is done."""
