"""Tests of the console in a real browser: what a person sees, reaches by the keyboard, and is kept from."""
