"""Reports for people and for CI: an answer of the service as text, Markdown, HTML or JUnit XML. Needs nothing but Python.

page = report_page(report)      # what is shown, in which order
text(page, width=80)            # in a form
"""

from lossmeter.reporting.junit import junit
from lossmeter.reporting.markup import html, markdown
from lossmeter.reporting.pages import Cell, Column, Grid, Page, Section
from lossmeter.reporting.reports import comparison_page, figure_grid, report_page, run_list_page
from lossmeter.reporting.text import text

__all__ = [
    "Cell",
    "Column",
    "Grid",
    "Page",
    "Section",
    "comparison_page",
    "figure_grid",
    "html",
    "junit",
    "markdown",
    "report_page",
    "run_list_page",
    "text",
]
