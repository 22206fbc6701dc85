"""Figures with the numbers behind them."""
