"""One file or folder for each outside system; each owns its settings, wire format and error mapping. `catalogue.py` lists them."""
