"""A document as Markdown, LaTeX and HTML."""

from nern.report.documents.document import Document
from nern.report.documents.html import html
from nern.report.documents.latex import latex
from nern.report.documents.markdown import markdown


def render(document: Document) -> dict[str, str]:
    """The document's text in each format, by the suffix of its file."""
    return {".md": markdown(document), ".tex": latex(document), ".html": html(document)}
