"""Pure rollout: the evidence weighed, the verdict, the steps."""
