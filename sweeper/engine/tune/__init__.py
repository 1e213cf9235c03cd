"""The parts with which Ray Tune runs a search."""
