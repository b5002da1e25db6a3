"""Migrations: how the files of a state directory are made, told apart by version, and brought up to date.

`database` is what a file of ours knows of itself, and needs no Alembic; `standing` looks at both files of a state
directory; `upgrading` runs what is to be done, with `env` as the one environment of both trees of revisions,
``journal/`` and ``lifecycle/``.
"""
