"""Sources: a file or a folder for each kind, and table.py, which lists them."""
