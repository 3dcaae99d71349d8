"""Dom0's side: configuration, domains, loading, publishing, machines."""
