"""A run's numbers elsewhere: TensorBoard's files beside it, and the trackers that the operator has named."""
