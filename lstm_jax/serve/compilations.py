"""How many programs JAX has compiled in this process, since this module was imported."""

import jax.monitoring

_EVENT = "/jax/core/compile/backend_compile_duration"
_count = 0


def compilations() -> int:
    """The number so far; a server that is ready compiles for explanations alone."""
    return _count


def _listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
    global _count
    if event == _EVENT:
        _count += 1


jax.monitoring.register_event_duration_secs_listener(_listen)
