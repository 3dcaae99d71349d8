"""Thousands of handoffs on one xenstored by one toolstack: what they use must not grow."""
