"""Fits and scores inside folds, statistics over them, ensembles of them."""
