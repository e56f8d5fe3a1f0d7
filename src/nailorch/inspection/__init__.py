"""Looking into models: what they are made of, and what they compute."""

from nailorch.inspection.receptive import ReceptiveField, receptive_field
from nailorch.inspection.summaries import Row, Summary, summary

__all__ = ['ReceptiveField', 'Row', 'Summary', 'receptive_field', 'summary']
