"""Where the stores meet: batch loading, keyset pages, joined views. No business words."""
