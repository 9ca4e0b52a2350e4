"""Cells: their results as one long frame, and the page that lists them."""
