"""YAML to checked values, and errors that name line, key and value."""
