"""Data sets and their frames: what a folder or manifest says, file formats, masks, intensities, splits."""
