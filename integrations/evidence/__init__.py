"""Sources of facts: each file reads one outside system and answers Absent for what it could not find out."""
