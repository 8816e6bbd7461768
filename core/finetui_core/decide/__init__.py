"""Should a task be fine-tuned at all: questions, the rule, its reasons, and what would change the verdict."""
