"""What runs inside the stub domain."""
