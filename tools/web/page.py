# One self-contained HTML file out of a template, a style and a script: opened from a disk or served, it asks nobody for anything.
# Values are escaped by Jinja2, and the browser runs and loads only what is hashed here (Content-Security-Policy).
import base64
import hashlib
from pathlib import Path

_HERE = Path(__file__).parent
# style-src and script-src take no attribute such as style="" or onclick="", whoever wrote it.
_POLICY = (
    "default-src 'none'; img-src data:; script-src {script}; style-src {style}; connect-src {connect}; "
    "base-uri 'none'; form-action 'none'"
)


def environment(folder, **filters):
    """Templates of `folder`, with every value escaped, and a name that is missing an error."""
    import jinja2  # only here: every `python -m tools` would wait for it

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(filters)
    return made


class Page:
    """The files NAME.html, NAME.css and, if there is one, NAME.js of a folder."""

    def __init__(self, folder, name, connects=False, style="", **filters):
        self._template = environment(folder, **filters).get_template(f"{name}.html")
        self._style = _read(_HERE / "base.css") + _read(folder / f"{name}.css") + style
        script = folder / f"{name}.js"
        self._script = _read(script) if script.exists() else ""
        self.policy = _POLICY.format(
            script=_source(self._script), style=_source(self._style), connect="'self'" if connects else "'none'"
        )

    def render(self, **values):
        """-> the file's text."""
        from markupsafe import Markup

        return self._template.render(
            style=Markup(self._style), script=Markup(self._script), policy=self.policy, **values
        )


def _read(path):
    return path.read_text(encoding="utf-8")


def _source(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" if text else "'none'"
