"""The page's second tab: scenarios chosen, edited, run and compared."""
