"""Pictures from outside, decoded in a confined process."""
