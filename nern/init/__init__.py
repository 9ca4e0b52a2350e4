"""`nern init`: from a trained network and its images to a checked overlay, and the command that makes its table."""
