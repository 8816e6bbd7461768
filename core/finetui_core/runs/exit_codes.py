"""How the trainer's process tells its supervisor why it ended, beside signals."""

DONE = 0
CRASHED = 1
BAD_INPUT = 2
DIVERGED = 3
"""The numbers went wrong: started again, it would meet them again."""
OUT_OF_MEMORY = 4
"""An allocation was refused, of the GPU or of the process: it may fit with less at once."""
HUNG = 5
"""No step for too long; the stacks of all threads are in the log."""
LOST_PEER = 6
"""Another process of the same training has died or cannot be reached."""
UNSAVED = 7
"""The last checkpoint could not be written: started again before the disk is mended, it would not be either."""
