"""The science: pure tensors in, tensors out. Knows nothing of files, configuration or Snakemake."""
