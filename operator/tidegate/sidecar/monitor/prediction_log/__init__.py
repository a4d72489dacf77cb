"""What the model was asked and what it said, line by line, in the object store."""
