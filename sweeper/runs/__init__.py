"""Run folders: what a sweep was asked for and what it leaves behind."""
