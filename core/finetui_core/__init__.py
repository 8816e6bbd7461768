"""The core of ftui: data, recipe, training, the run directory. No terminal code."""

__version__ = "0.1.0"
