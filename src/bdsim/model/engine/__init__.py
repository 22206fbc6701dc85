"""The rule compiled: a year of everybody, one member or eight side by side."""
