"""The contract, committed as `openapi.yaml`."""
