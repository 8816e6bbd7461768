"""Training: the model and its adapters, the loss, the loop and the checkpoints, in a process of its own."""
