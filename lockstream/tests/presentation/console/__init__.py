"""Tests of the operators' console: its session, its pages, and in `browser` what a person sees."""
