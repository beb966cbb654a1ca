"""The engine: trains one network, or a cohort of networks as one."""
