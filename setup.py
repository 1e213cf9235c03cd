"""Packages of a wheel: plugin folders stand beside `sweeper` here, and inside it once installed."""

from setuptools import find_packages, setup

PLUGINS = ("featurizers", "classifiers", "search_spaces")

setup(
    packages=[*find_packages(include=["sweeper", "sweeper.*"]), *(f"sweeper.{folder}" for folder in PLUGINS)],
    package_dir={f"sweeper.{folder}": folder for folder in PLUGINS},
)
