"""Documents of grids and notes, and how they are written: Markdown, LaTeX, HTML."""
