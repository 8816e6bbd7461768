"""Which of several ways to answer is better, measured on rows that nothing was trained on."""
