"""The programs as a user starts them."""

import pytest

pytest.register_assert_rewrite("tests.e2e.matrix")
