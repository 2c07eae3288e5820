"""The commands, by what they are for: looking, deciding, following an operation, and what runs in this process."""
