"""Pure traffic splitting: the routing document, its signature, the operator's tokens."""
