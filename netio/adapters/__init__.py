"""What plugs netio into other libraries. Each adapter imports its library only when it is used."""

from netio.adapters._plot import draw_profile, plot_profile

__all__ = ["draw_profile", "plot_profile"]
