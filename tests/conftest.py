"""What holds for all tests: none is judged by how busy the machine is."""

from hypothesis import HealthCheck, settings

# An example that the machine was too busy for is no slow one. The rest stays as it was loaded.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
