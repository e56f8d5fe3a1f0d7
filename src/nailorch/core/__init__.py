"""Autograd: a Variable is an array and its place on the tape; a Function makes Variables from Variables."""

from nailorch.core.function import Function, supervised, watched, watching
from nailorch.core.tape import grad, gradients
from nailorch.core.variable import Buffer, Node, Parameter, Variable, as_array, as_variable, operands, own, scalar_like

__all__ = ['Buffer', 'Function', 'Node', 'Parameter', 'Variable', 'as_array', 'as_variable', 'grad', 'gradients',
           'operands', 'own', 'scalar_like', 'supervised', 'watched', 'watching']
