"""The paper's figures: each module reads the files of cells into a frame, and draws that frame."""
