"""The paper's figures: each module reads the files of cells into a frame, and draws that frame."""

import os

# Figures are drawn into files. A backend or a matplotlibrc of the user's may be one that matplotlib cannot even load.
os.environ["MPLBACKEND"] = "agg"
os.environ["MATPLOTLIBRC"] = os.devnull
