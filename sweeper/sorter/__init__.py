"""The sorter: a pipeline of a run exported to one file, and put to work on new frames."""
