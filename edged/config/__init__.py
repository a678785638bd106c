"""The configuration: YAML file to checked values, and warnings about them."""
