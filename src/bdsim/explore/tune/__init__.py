"""The page's first tab: parameters under sliders."""
