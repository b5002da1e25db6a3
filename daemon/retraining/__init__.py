"""Retraining: when a new set is made, of which data, where, and how it comes back. The daemon trades on meanwhile."""
