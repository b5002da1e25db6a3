"""Many variants of the rules over one history, and how much the best of them owes to luck."""
