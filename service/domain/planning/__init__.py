"""What to do, in which order, and why: the plan as one model, and its Markdown checklist."""
