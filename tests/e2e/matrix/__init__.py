"""Image, boot method, platform, carrier: every combination, and what became of it."""
