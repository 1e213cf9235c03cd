"""Frames on disk and what they say: data sets, readers of their files, intensities, splits."""
