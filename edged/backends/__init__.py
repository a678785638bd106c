"""Runtimes that run a network: auto.py picks one, loaded.py holds a family in memory."""
