"""Oracle search: a portfolio for every weight with as few training runs as possible, and its certificate."""

from palm_opt.search.ask_tell import Search
from palm_opt.search.result import SearchResult

__all__ = ["Search", "SearchResult"]
