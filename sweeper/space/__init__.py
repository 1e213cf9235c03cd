"""Search spaces: what may be tried."""
