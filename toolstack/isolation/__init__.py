"""`toolstack isolation`: a hostile device model in the place of the real one, and what stops it."""
