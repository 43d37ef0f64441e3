"""The plugin's errors."""


class UnusableDatabaseError(Exception):
    """A file is no country database that can be used; the message ends the sentence "the file …"."""


class ChangingFileError(UnusableDatabaseError):
    """A file was written while it was read: look again later."""
