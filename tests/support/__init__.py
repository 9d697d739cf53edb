"""What tests, benchmarks and the demo check share: child processes, servers, a browser, real images."""
