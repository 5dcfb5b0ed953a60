"""Bills as people read them: every word and figure of page, PDF and CSV, made from rows once."""

from hosting.papers.bills import paper
from hosting.papers.listing import csv_of
from hosting.papers.setting import lines_path, pdf, usage_path
from hosting.papers.statements import statement
from hosting.papers.values import MOST_LINES, Paper

__all__ = ["MOST_LINES", "Paper", "csv_of", "lines_path", "paper", "pdf", "statement", "usage_path"]
