"""Studies of the systems: what is followed, beside its references, and the numbers; ``report`` draws them."""
