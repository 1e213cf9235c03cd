"""What Ray Tune runs a search with."""
