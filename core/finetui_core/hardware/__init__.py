"""What the machine is doing: processors, memory, disk and GPUs."""
