"""The pytest plugin `xenstored`: a running xenstore daemon for any test suite.

pytest imports this package at each of its starts: what serves is imported when a test asks for it.
"""

from xenstore_sim.pytest_plugin.hooks import (
    pytest_addoption,
    pytest_configure,
    pytest_configure_node,
    pytest_report_header,
    pytest_runtest_makereport,
    xenstored,
)

__all__ = [
    "pytest_addoption",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_report_header",
    "pytest_runtest_makereport",
    "xenstored",
]
