"""Properties of the decoders for any bytes: `test_decoders` tries them with Hypothesis, `make fuzz` with atheris."""
