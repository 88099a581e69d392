"""Errors that the user can fix.

Every message is one line: subject, rule, value, remedy.  The command line
prints it and exits with status 1; anything else is a bug and keeps its
traceback.
"""


class SvmCifarError(Exception):
    """Base class of every error that the user can fix."""


class DataError(SvmCifarError):
    """A data set is missing, damaged, or not what it says it is."""


class InputError(SvmCifarError, ValueError):
    """Samples, weights or parameters that no model can be fitted to."""


class LabelError(SvmCifarError):
    """The label CSV is malformed or contradicts the data set."""


class ModelFileError(SvmCifarError):
    """A model file is damaged, foreign, or does not fit the data set."""


class CheckpointError(SvmCifarError):
    """A network's checkpoint is damaged, unknown, or does not fit the data set."""


class OutputError(SvmCifarError):
    """An output cannot be written, or exists and may not be overwritten."""


class BackendUnavailableError(SvmCifarError):
    """The backend asked for cannot run on this machine."""


class MemoryLimitError(SvmCifarError, MemoryError):
    """The problem does not fit the memory limit."""
