"""The configuration: YAML file to checked values, and what is worth a warning."""
