"""Query execution over a GraphQL schema whose fields say how they read or load their values. Knows no domain."""
