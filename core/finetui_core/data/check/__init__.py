"""Looking for faults in a data set before it is trained on."""
