# Names of files from elsewhere, for the eyes of a person.


def printable(text):
    """`text` with what a terminal would obey, or could not show, as escapes."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
