"""The page's third tab: people, year by year."""
