"""The lifecycle of model sets: what was run, swapped, measured and asked for. One SQLite file beside the journal.

A file of its own, so that trading's journal never waits for it. `schema` is the file, `book` writes and reads it.
"""
