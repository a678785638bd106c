"""The commands, one file each; parts.py holds what they share."""
