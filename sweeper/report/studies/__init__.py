"""The two papers: their printed numbers, and the sections that set them beside a run."""
