"""What runs as a Ray task, as plain functions."""
