"""A xenstored's state in the public format by which it is handed on, and to and from a daemon."""
