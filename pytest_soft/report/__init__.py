"""Reports: pure functions from what a run measured to what people and machines read."""
