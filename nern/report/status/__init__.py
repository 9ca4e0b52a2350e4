"""What the matrix costs, what is done of it, and what runs now."""
