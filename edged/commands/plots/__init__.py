"""The plots of `--plot`."""
