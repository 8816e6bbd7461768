"""The terminal interface of ftui."""
