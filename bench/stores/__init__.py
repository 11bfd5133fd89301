"""The API over real stores, measured next to a floor: a bare handler that sends the stores the same commands."""
