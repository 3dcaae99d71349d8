"""`python -m devicemodel`, as the toolstack starts it."""

from devicemodel.cli import main

if __name__ == "__main__":
    main()
