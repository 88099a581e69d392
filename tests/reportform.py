"""The form of a report.json: its keys in their order, and the types of their values."""

_NAMES = {dict: "object", list: "list", str: "string", type(None): "null"}
# What depends on the machine, and on how each model was made.
_FREE = (".versions", ".git_commit", ".host", ".made")
# Keys of these are ids of models, which have all one form.
_BY_MODEL = (".scores.coarse", ".scores.fine", ".answers")


def form_of(content):
    """A line for each place with the types that occur there, in the order in which they come."""
    types = {}

    def walk(value, place):
        found = types.setdefault(place, [])
        name = _NAMES.get(type(value), type(value).__name__)
        if place.endswith(_FREE):
            name = "free"
        elif isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{place}.{'*' if place.endswith(_BY_MODEL) else key}")
        elif isinstance(value, list):
            for item in value:
                walk(item, f"{place}[{item.get('id', '') if isinstance(item, dict) else ''}]")
        if name not in found:
            found.append(name)

    walk(content, "")
    return [f"{place} {'|'.join(names)}".strip() for place, names in types.items()]
