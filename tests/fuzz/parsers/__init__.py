"""Whatever a parser is given, it gives a value or a refusal: coverage-guided, by atheris.

`python -m tests.fuzz.parsers --seconds 600`; what it finds is kept in tests/golden.
"""
