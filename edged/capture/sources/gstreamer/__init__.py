"""Sources read through gst-launch: `gst:`, `csi` and `libcamera`."""
