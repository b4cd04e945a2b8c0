"""What a user holds: networks to train, networks to answer with, and several of either."""
