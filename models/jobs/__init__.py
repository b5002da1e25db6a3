"""Jobs: work that others do for the daemon, each a folder whose name is the run's id.

::

    <run id>/request.json    what shall be done (`request`)
    <run id>/inputs/         files it needs; their hashes stand in the request
    <run id>/log             what it says, appended
    <run id>/sets/           the store that a training writes to
    <run id>/result.json     how it ended, written last and whole

The folder is the lock (making it is claiming the id), and it is all there is to know about a job: who finds it after a
restart goes on from it. `running` carries one out, `supervision` starts and ends it beside and not below its starter.
"""
