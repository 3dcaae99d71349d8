"""Boot images, one file a format; `auto` chooses. Every parser of the project is here."""
