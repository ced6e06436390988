"""Reports and figures of results. matplotlib and mpltern (extra `plot`) load when the first figure is drawn."""

from palm_opt.report.drawing import require_plot_libraries
from palm_opt.report.html import write_report
from palm_opt.report.plots import write_frontier, write_gaps, write_plan, write_plot
from palm_opt.report.rebuild import portfolio_report, quick_frontier

__all__ = [
    "portfolio_report",
    "quick_frontier",
    "require_plot_libraries",
    "write_frontier",
    "write_gaps",
    "write_plan",
    "write_plot",
    "write_report",
]
