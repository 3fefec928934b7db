"""Tests of `presentation.http.routes.figures`."""
