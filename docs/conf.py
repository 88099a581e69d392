"""How Sphinx builds the documentation; see scripts/docs.sh."""

import svmcifar

project = "svmcifar"
copyright = "the svmcifar maintainers"
release = version = svmcifar.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "benchmarks"]
html_theme = "furo"
html_title = f"svmcifar {release}"

default_role = "py:obj"  # `name` in a docstring links to what is documented here
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say types in words
napoleon_google_docstring = False
napoleon_use_rtype = False

myst_heading_anchors = 3
nb_execution_mode = "force"  # every build runs the notebooks
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_in_temp = True
nb_merge_streams = True  # what a command prints in pieces is one block
