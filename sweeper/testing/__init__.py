"""Checks that the author of a plugin can run on it; each names the rule that was broken."""
