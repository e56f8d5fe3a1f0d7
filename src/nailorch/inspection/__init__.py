"""Looking into models: what they are made of, and what they compute."""

from nailorch.inspection.summaries import Row, Summary, summary

__all__ = ['Row', 'Summary', 'summary']
