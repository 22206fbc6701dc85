"""Parameters held against published facts: targets, the problem, the optimum, the posterior, the backtest."""
