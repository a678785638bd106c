"""Requests that change something: their clients, how many of them, and their bodies."""
