"""The check of a transformer's parameters."""

from typing import Any

from sklearn.utils._param_validation import InvalidParameterError

from svmcifar.errors import InputError


def validate_parameters(transformer: Any) -> None:
    """Raise InputError if a parameter violates the transformer's constraints."""
    try:
        transformer._validate_params()
    except InvalidParameterError as error:
        raise InputError(str(error)) from error
