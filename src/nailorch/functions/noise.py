"""noise."""

__all__: list[str] = []
