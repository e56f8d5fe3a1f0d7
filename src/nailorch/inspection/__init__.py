"""Looking into models: what they are made of, and what they compute."""

from nailorch.inspection.classifying import Answer, best_answers, class_names, classify, preprocessing
from nailorch.inspection.drawn_graph import draw_graph
from nailorch.inspection.heat import HeatMap, grad_cam, occlusion, saliency
from nailorch.inspection.judging import Confusion, Mistake, confusion
from nailorch.inspection.maps import FeatureMaps, Filters, feature_maps, filters
from nailorch.inspection.receptive import ReceptiveField, receptive_field
from nailorch.inspection.summaries import Row, Summary, summary

__all__ = ['Answer', 'Confusion', 'FeatureMaps', 'Filters', 'HeatMap', 'Mistake', 'ReceptiveField', 'Row', 'Summary',
           'best_answers', 'class_names', 'classify', 'confusion', 'draw_graph', 'feature_maps', 'filters', 'grad_cam',
           'occlusion', 'preprocessing', 'receptive_field', 'saliency', 'summary']
