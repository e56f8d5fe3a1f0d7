"""Looking into models: what they are made of, and what they compute."""

from nailorch.inspection.classifying import Answer, best_answers, class_names, classify, preprocessing
from nailorch.inspection.receptive import ReceptiveField, receptive_field
from nailorch.inspection.summaries import Row, Summary, summary

__all__ = ['Answer', 'ReceptiveField', 'Row', 'Summary', 'best_answers', 'class_names', 'classify', 'preprocessing',
           'receptive_field', 'summary']
