"""Tests of the operations of the API, one or more modules per resource."""
