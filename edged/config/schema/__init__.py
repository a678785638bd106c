"""The JSON Schema of edged.yaml, section by section."""
