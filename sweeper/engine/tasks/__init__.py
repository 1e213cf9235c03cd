"""Ray's tasks as plain functions."""
