"""What nobody knows of a scenario: ranges in its file, from which every member draws its own values."""
