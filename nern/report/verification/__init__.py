"""Whether results, tables and figures belong together, and to the configuration and the code."""
