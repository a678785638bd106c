"""Teaching: heads for a backbone's networks, from a few labelled pictures; how good they are."""
