"""From encoded bytes to upright pixels: JPEG, raw formats, video, orientation, crop."""
