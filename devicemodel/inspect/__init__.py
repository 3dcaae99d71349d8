"""`devicemodel inspect`: what would be done with an image, and why, without a guest.

Everything is asked of the functions that boot it; here is only what shows their answers.
"""
