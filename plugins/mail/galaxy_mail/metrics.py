"""The plugin's metrics."""

from galaxy_kernel.api import Gauge, declare_queue

QUEUE = declare_queue("mail", "mails", "kind")
RELAY_UP = Gauge("mail.relay_up", "Whether the relay accepts us: 1, or 0 while sending pauses.")
