"""Instructions that edged executes on a Raspberry Pi 4's and 5's processor, counted under QEMU.

A count is no time, but it needs no board and no quiet machine: it repeats within 1 %, and the
ratio of two counts of like code is near the ratio of their times.

- `slots.py`: what is told apart; `count.c`: QEMU's plugin, which counts; `counted.c`: starts Python
- `root.py`: the arm64 root, and how a program is run in it; `wheels.txt`: the versions inside
- `guest.py`: what runs there: a network, the daemon, its capture process
- `half.py`: what float16 costs in accuracy, on photos
- `measure.py`: the counts, one by one; `report.py`: table and picture; `__main__.py`: all of it
"""
