"""Which configurations are tried, which trials are stopped early, and when a study has searched enough."""
