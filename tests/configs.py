"""Settings of `svmcifar train` as a config and as arguments."""

import json


def write(name, **keys):
    """Write keys as TOML, whose numbers, texts and lists of texts are JSON's."""
    with open(name, "w") as file:
        file.writelines(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    return name


def on_command_line(key, value):
    """Write a setting as arguments; a list as an option that is given again."""
    values = value if isinstance(value, list) else [value]
    return [text for item in values for text in (f"--{key}", str(item))]
