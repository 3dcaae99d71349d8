"""A xenstore daemon and client in one process or many; imports nothing of ours."""
