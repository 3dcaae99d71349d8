"""Functions that dom0 runs: what they return, as JSON, the tests on the host judge."""
