"""What researchers are and do: the rule, the population, and the engines that run them.

It knows NumPy and Numba, no files and no tables."""
