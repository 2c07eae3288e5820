"""The steps of a plan, as they are to Argo CD: a file each, and the table of them in `table`."""
