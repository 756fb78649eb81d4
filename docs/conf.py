"""How the documentation is built: docs/build, or `python -m sphinx -W docs somewhere`."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from corolib import __version__  # noqa: E402  # found by the line above

project = "corolib"
author = "The corolib authors"
project_copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "colourings",
    "reference",
    "repository",
    "unreleased",
]
exclude_patterns = ["_build", ".venv", "_ext", "README.md"]

# Pages are Markdown. Headings can be linked to, and a link to a heading that is not there is an error.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline", "colon_fence"]

# Docstrings are plain text: docs/_ext/reference.py.
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"corolib {release}"
html_static_path = ["_static"]
html_css_files = ["corolib.css"]
html_copy_source = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"
