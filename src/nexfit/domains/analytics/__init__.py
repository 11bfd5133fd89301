"""A facility's figures by day: a pure fold over what happened, how it is kept up to date, and what owners ask of it."""
