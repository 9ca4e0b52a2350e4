"""One module per stage of the DAG: files in, files out, resumable."""
