"""Capture: a child process per camera puts the newest picture in shared memory.

Daemon: supervisor.py, process.py. Child: worker.py, views.py, confinement/, sources/, decode/.
Both: source.py (request, picture, failure), messages.py, mailbox/.
"""
