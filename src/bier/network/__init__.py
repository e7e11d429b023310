"""Networks that turn pictures into features, and the model that is a network with an ensemble on top."""
