"""Sending what a journal says to MLflow, TensorBoard and Weights & Biases."""
