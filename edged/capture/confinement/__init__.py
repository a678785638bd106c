"""Confinement of capture processes: Landlock and a system-call filter."""
