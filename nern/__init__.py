"""nern: a reproducibility harness for NeRN, Learning Neural Representations for Neural Networks (ICLR 2023)."""

__version__ = "0.1.0"
