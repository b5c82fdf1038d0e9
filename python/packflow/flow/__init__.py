"""Flow matching: paths from noise to data, losses, and the sampler. The network is any callable with its signature."""
