"""One module for each part of an incident's life; `remediator.pipeline.life` says which state belongs to which."""
