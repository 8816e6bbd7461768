"""Parts of a training step with fewer passes over memory, put in place of a model's own where they give the same."""
