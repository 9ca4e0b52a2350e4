"""A document as Markdown, LaTeX and HTML."""

from nern.report.document import Document
from nern.report.render_html import html
from nern.report.render_latex import latex
from nern.report.render_markdown import markdown


def render(document: Document) -> dict[str, str]:
    """The document's text in each format, by the suffix of its file."""
    return {".md": markdown(document), ".tex": latex(document), ".html": html(document)}
