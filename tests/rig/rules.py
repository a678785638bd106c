"""Rules of events, as the configuration has them."""

# All classes together have a score of 1: whatever the network sees, one of them is there.
ANY = (
    "classes: [tench, English springer, cassette player, chain saw, church, French horn,"
    " garbage truck, gas pump, golf ball, parachute]"
)
