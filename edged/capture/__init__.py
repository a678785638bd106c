"""Capture: a child process per camera turns what a driver sends into the newest picture.

Daemon's side: supervisor.py, process.py. Child's side: worker.py, confinement/, sources/, decode/.
Between them: source.py (request, picture, failure), messages.py, mailbox.py.
"""
