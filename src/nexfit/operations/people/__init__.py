"""What the platform holds of a person, over all stores and files: its registry, its export and its erasure."""
