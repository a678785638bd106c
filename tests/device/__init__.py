"""A virtual device: Debian 12 in QEMU with a real kernel, udev, systemd and V4L2 cameras.

    python -m tests.device amd64     # as root; `make test-device`
    python -m tests.device arm64     # a Raspberry Pi 4's processor; `make test-device-arm64`

A wheel of this tree and its dependencies go in, `checks` runs there, and what it prints comes
back. Everything that takes time is kept in $EDGED_RIG (else ~/.cache/edged-rig) and made once. The
processor is emulated, up to a hundred times slower than a real one: this proves function, never
speed.
"""
