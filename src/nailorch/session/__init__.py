"""Sessions: a trained model as a fixed sequence of steps, each one kernel where it can be, for nothing but answers.

    session = nailorch.compile(model, x)      x: an example, any batch size
    y = session(x)                            plain arrays, as the model in test mode would return

The way there: `graph.trace` writes down what the model computes; `fusion` joins nodes that one kernel computes at once;
`steps` says how each kind of step keeps its weights and runs; `running` lets them run, one after another. While there
is room, `replaying` writes a run down; `learning` does so for a step of training.
"""

from nailorch.session.learning import Gradients, compile_gradients
from nailorch.session.running import Session, compile
from nailorch.session.tables import Profile

__all__ = ['Gradients', 'Profile', 'Session', 'compile', 'compile_gradients']
