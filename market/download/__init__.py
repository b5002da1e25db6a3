"""Downloads: history brought home from a real exchange, and from the daemon's own recordings.

`spans` says what is missing, `api` and `archive` fetch it, `update` merges it into the files, `recorded` joins what the
daemon heard itself, `command` is the command line of it.
"""
