"""What runs and fits say, in words, tables, figures and pages."""
