"""Backups of a state directory: taken while a daemon runs, and put back while none does.

`archive` is the file and its manifest, `taking` makes one, `restoring` puts one back, `schedule` takes them by itself.
"""
