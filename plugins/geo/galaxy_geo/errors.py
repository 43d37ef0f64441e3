"""The plugin's errors."""


class UnusableDatabaseError(Exception):
    """A file is not a usable country database; the message completes the sentence "the file …"."""


class ChangingFileError(UnusableDatabaseError):
    """A file was written while it was read: retry later."""
