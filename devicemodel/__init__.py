"""The stub domain's side: discover, verify, place, move, insert, ready."""
