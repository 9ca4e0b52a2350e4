"""Tables: what is in them, and the files that they are written to."""
