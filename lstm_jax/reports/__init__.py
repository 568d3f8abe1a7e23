"""What a person reads after training and evaluating: a summary, a page, the mistakes."""

from lstm_jax.reports.folder import MISTAKES, REPORT, write_report
from lstm_jax.reports.scored import Scored
from lstm_jax.reports.summary import summarise

__all__ = ["MISTAKES", "REPORT", "Scored", "summarise", "write_report"]
