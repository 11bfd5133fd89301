"""How soon what others write is followed: lags from a commit to its effect, and how much is followed in a second."""
