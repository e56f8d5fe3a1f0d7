"""What a model computes, written down: `trace(model, x)` runs it on an example and returns a Graph.

This is the one reader of running models. Summaries, plots, ONNX files and compiled sessions all read the Graph.
"""

from nailorch.graph.structure import Batch, Graph, Node, Value, resolve, unique
from nailorch.graph.tracing import trace

__all__ = ['Batch', 'Graph', 'Node', 'Value', 'resolve', 'trace', 'unique']
