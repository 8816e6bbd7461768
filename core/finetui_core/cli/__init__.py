"""The commands: one module each, which adds its arguments and runs. They print, they never draw."""
