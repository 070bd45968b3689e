"""What plugs netio into other libraries. Each adapter imports its library only when it is used."""

from netio.adapters._logging import LogEvents
from netio.adapters._opentelemetry import OpenTelemetry
from netio.adapters._plot import draw_profile, plot_profile
from netio.adapters._prometheus import SessionCollector
from netio.adapters._statsd import StatsdWriter

__all__ = ["LogEvents", "OpenTelemetry", "SessionCollector", "StatsdWriter", "draw_profile", "plot_profile"]
