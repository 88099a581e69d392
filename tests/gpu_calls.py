"""The names of CuPy and cuML that sources use, and their calls, held against these libraries.

Nothing is run: names are resolved from imports and assignments, a function at a time, and what a
call gives is known of classes and of `GIVES`.  What cannot be resolved is passed over.
"""

import ast
import inspect
import re
from functools import reduce
from inspect import Parameter, Signature
from typing import NamedTuple

CUPY, CUML = "cupy", "cuml"
# The namespace of CuPy's arrays for code that is written against the array API.
ARRAY_API = "sklearn.externals.array_api_compat.cupy"

# What is given by functions, by attributes of an object, and by our own functions.
GIVES = {
    "cupy.RawModule.get_function": "cupy.RawKernel",
    "cupy.cuda.get_current_stream": "cupy.cuda.Stream",
    "cupy.get_default_memory_pool": "cupy.cuda.MemoryPool",
    "cupy.get_default_pinned_memory_pool": "cupy.cuda.PinnedMemoryPool",
    "cupy.ndarray.device": "cupy.cuda.Device",
    "cupy.ndarray.copy": "cupy.ndarray",
    "cupy.ndarray.reshape": "cupy.ndarray",
    "_load_module": "cupy.RawModule",
    "load_kernel": "cupy.RawKernel",
    "to_device": "cupy.ndarray",
}
ARRAYS = "arange asarray astype concat empty ones sqrt square sum take where zeros zeros_like"
for _name in ARRAYS.split():
    GIVES |= {f"{module}.{_name}": "cupy.ndarray" for module in (CUPY, ARRAY_API)}
# Names that have one meaning wherever they are read.
ALWAYS = {
    "cupy": CUPY,
    "xp": ARRAY_API,
    "self.xp": CUPY,
    "self.svc_class": "cuml.svm.SVC",
}
# Of array-api-strict, where it has been asked which of them an array is of.
NOT_FOR_CUPY = {f"{ARRAY_API}.Device"}


class Value(NamedTuple):
    """Something in a library, by its full name, or an object of a class there."""

    name: str
    is_object: bool = False


class Library(NamedTuple):
    """Modules that are imported, by name, and a table of those that cannot be.

    The table has functions, classes and attributes with their signatures as text, None where
    nothing is called.
    """

    modules: dict
    table: dict

    def has(self, name):
        if self._is_told(name):
            return any(f"{told}.".startswith(f"{name}.") for told in self.table)
        return self.find(name) is not None

    def find(self, name):
        """Return the very thing of that name; None if there is none, or it is only told of."""
        if self._is_told(name):
            return None
        module = next(m for m in self.modules if f"{name}.".startswith(f"{m}."))
        path = name.removeprefix(module).split(".")[1:]
        return reduce(lambda found, part: getattr(found, part, None), path, self.modules[module])

    def is_class(self, name):
        if self._is_told(name):
            return any(told.startswith(f"{name}.") for told in self.table) and name in self.table
        return isinstance(self.find(name), type)

    def signature(self, name):
        """Return the signature of a call; None if it is not known."""
        if self._is_told(name):
            text = self.table.get(name)
            return text and read_signature(text)
        found = self.find(name)
        try:
            signature = inspect.signature(found)
        except (TypeError, ValueError):
            return documented_signature(found)
        kinds = [parameter.kind for parameter in signature.parameters.values()]
        return None if Parameter.VAR_POSITIONAL in kinds else signature

    def _is_told(self, name):
        return name.partition(".")[0] in {told.partition(".")[0] for told in self.table}


def documented_signature(found):
    """Return the signature that Cython and CuPy write into the first lines of documentation."""
    lines = [line.strip() for line in (found.__doc__ or "").splitlines() if line.strip()][:2]
    told = [match[1] for line in lines if (match := re.match(r"[\w.]+(\(.*\))", line))]
    return read_signature(told[-1]) if told else None


def read_signature(text):
    """Read '(a, int b=3, *, tuple c=(), **d)' as a signature."""
    inside = text.replace("\\", "")[1:].rpartition(")")[0]
    # Commas within brackets and quotes separate nothing.
    inside = re.sub(r"'[^']*'|\"[^\"]*\"|\([^()]*\)|\[[^\[\]]*\]", "0", inside)
    parameters, kind = [], Parameter.POSITIONAL_OR_KEYWORD
    for part in filter(None, map(str.strip, inside.split(","))):
        head, equals, _ = part.partition("=")
        name = re.findall(r"\w+", head.partition(":")[0])[-1:]
        if part == "/":
            parameters = [p.replace(kind=Parameter.POSITIONAL_ONLY) for p in parameters]
        elif part == "*":
            kind = Parameter.KEYWORD_ONLY
        elif part.startswith("**"):
            parameters.append(Parameter(name[0], Parameter.VAR_KEYWORD))
        elif part.startswith("*"):
            parameters.append(Parameter(name[0], Parameter.VAR_POSITIONAL))
            kind = Parameter.KEYWORD_ONLY
        else:
            default = None if equals else Parameter.empty
            parameters.append(Parameter(name[0], kind, default=default))
    return Signature(parameters)


class Calls(ast.NodeVisitor):
    """What a source uses: `used` (names), `bound` (names of calls), and `faults`, one line each.

    A call whose signature is not known is used, not bound.
    """

    def __init__(self, library, file):
        self.library, self.file = library, file
        self.used, self.bound, self.faults = set(), set(), []
        self._names = {name: Value(meaning) for name, meaning in ALWAYS.items()}

    def visit_Import(self, node):
        for alias in node.names:
            if _is_theirs(alias.name) and self._use(node, alias.name):
                head = alias.name.partition(".")[0]
                self._names[alias.asname or head] = Value(alias.name if alias.asname else head)

    def visit_ImportFrom(self, node):
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            if _is_theirs(name) and self._use(node, name):
                self._names[alias.asname or alias.name] = Value(name)

    def visit_FunctionDef(self, node):
        outside = dict(self._names)
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg) and argument.arg not in ALWAYS:
                self._names.pop(argument.arg, None)
        self.generic_visit(node)
        self._names = outside

    def visit_Lambda(self, node):
        self.visit_FunctionDef(node)

    def visit_Assign(self, node):
        self.visit(node.value)
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple):
                values = [None] * len(target.elts)
                if isinstance(node.value, ast.Tuple):
                    values = node.value.elts
                pairs = zip(target.elts, values, strict=True)
            for to, value in pairs:
                if not isinstance(to, ast.Name):
                    self.visit(to)
                elif to.id not in ALWAYS:
                    self._names[to.id] = value and self._meaning(value)

    def visit_Attribute(self, node):
        self._meaning(node)
        self.generic_visit(node)

    def visit_Call(self, node):
        self._meaning(node)
        self.generic_visit(node)

    def visit_Subscript(self, node):
        base = self._meaning(node.value)
        if base and base.name == "cupy.cuda.Device.attributes":
            self._use(node, f"cupy.cuda.runtime.cudaDevAttr{node.slice.value}")
        self.generic_visit(node)

    def _use(self, node, name):
        self.used.add(name)
        if not self.library.has(name):
            self._complain(node, f"there is no {name}")
        return self.library.has(name)

    def _complain(self, node, what):
        fault = f"{self.file}:{node.lineno}: {what}"
        if fault not in self.faults:
            self.faults.append(fault)

    def _meaning(self, node):
        """Return what an expression is, if that can be told."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id)
        if isinstance(node, ast.Call):
            return self._result(node)
        if not isinstance(node, ast.Attribute):
            return None
        if (whole := ast.unparse(node)) in ALWAYS:
            return Value(ALWAYS[whole])
        base = self._meaning(node.value)
        if base is None or self._is_plain(base.name):
            return None
        name = f"{base.name}.{node.attr}"
        if name in NOT_FOR_CUPY or not self._use(node, name):
            return None
        is_property = name in GIVES and not callable(self.library.find(name))
        return Value(GIVES[name], is_object=True) if is_property else Value(name)

    def _is_plain(self, name):
        """Whether something that is told of is a number, a string or an array."""
        return name in self.library.table and self.library.table[name] is None

    def _result(self, node):
        if isinstance(node.func, ast.Name) and self._names.get(node.func.id) is None:
            return self._result_of_ours(node)
        called = self._meaning(node.func)
        if called is None:
            return None
        name = f"{called.name}.__call__" if called.is_object else called.name
        self._bind(node, name)
        given = name if self.library.is_class(name) else GIVES.get(name)
        return given and Value(given, is_object=True)

    def _result_of_ours(self, node):
        """Return what one of our functions gives, or an import by a function."""
        if node.func.id == "get_namespace":
            return Value(ARRAY_API)
        if node.func.id == "import_module":
            name = ast.unparse(node.args[0]).strip("'\"")
            return Value(name) if _is_theirs(name) and self._use(node, name) else None
        given = GIVES.get(node.func.id)
        return given and Value(given, is_object=True)

    def _bind(self, node, name):
        signature = self.library.signature(name)
        if signature is None:
            return
        self.bound.add(name)
        if next(iter(signature.parameters), None) == "self":
            signature = signature.replace(parameters=[*signature.parameters.values()][1:])
        positional = [value for value in node.args if not isinstance(value, ast.Starred)]
        named = {keyword.arg: keyword for keyword in node.keywords if keyword.arg}
        is_whole = len(positional) + len(named) == len(node.args) + len(node.keywords)
        try:
            (signature.bind if is_whole else signature.bind_partial)(*positional, **named)
        except TypeError as error:
            self._complain(node, f"{name}{signature}: {error}")


def _is_theirs(name):
    return name.partition(".")[0] in (CUPY, CUML)


def read_calls(library, source, file):
    """Read a source; see `Calls`."""
    calls = Calls(library, file)
    calls.visit(ast.parse(source))
    return calls
