"""From frames to the features of a pipeline: blocks, codebooks, representations."""
