"""`python -m toolstack`."""

from toolstack.cli import main

if __name__ == "__main__":
    main()
