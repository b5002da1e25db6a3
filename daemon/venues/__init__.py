"""Exchanges that the daemon can trade at: `venue` says what one must do, a package each does it, `catalogue` lists."""
