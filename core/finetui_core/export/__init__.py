"""What a run has trained, as files that other programs load, and the proof that they behave as it did."""
