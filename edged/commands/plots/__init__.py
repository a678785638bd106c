"""Pictures that `--plot` draws."""
