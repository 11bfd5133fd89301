"""Query execution over a GraphQL schema whose fields say how they read or load their values. Knows no domain.

`Engine` (module `engine`) takes documents; `documents` parses and validates them, `compile` turns an operation into the
plan of `plan`, `generate` writes its code, `run` executes it level by level: `mend` builds each level's objects,
`complete` decides what each value is and `failures` what an error nulls. `fields` and `selection` are the contract with
the fields that load.
"""
