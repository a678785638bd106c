"""Encoded bytes to upright pixels: JPEG, uncompressed formats, video, orientation, crop."""
