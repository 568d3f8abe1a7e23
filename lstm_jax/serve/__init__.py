"""A trained run as an HTTP server: `lstm-jax serve`, or `lstm_jax.serve.app.make_app` in Python."""
