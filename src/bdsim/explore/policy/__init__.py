"""A policy put together with sliders, and what would follow from it."""
