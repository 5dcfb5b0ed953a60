"""How days and moments are written; `en` is the language of the panel."""
