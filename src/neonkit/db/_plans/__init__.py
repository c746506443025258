"""Ready plans: plain reads that go from their structure straight to the driver."""
