"""NexFit's executor and API next to other GraphQL servers: Strawberry as it comes, and three servers on Node."""
