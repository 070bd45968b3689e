"""Bytes on the network: links, TLS, dialing, and what netio needs of an event loop."""

from netio.transport._address_policy import Address, AddressPolicy, deny_private, parse_address
from netio.transport._broken import words
from netio.transport._contract import HIGH_WATER, Link, Receiver
from netio.transport._dial import Connect, Dial, Dialer
from netio.transport._dial_places import in_order
from netio.transport._dns_aiodns import AiodnsResolver
from netio.transport._dns_cares import CaresResolver
from netio.transport._dns_contract import Answer, Resolver, ServiceBinding
from netio.transport._dns_default import default_resolver
from netio.transport._dns_names import Names, NameStats
from netio.transport._dns_rules import HostsOption
from netio.transport._dns_system import StaticResolver, SystemResolver
from netio.transport._network import KeepAlive, Network
from netio.transport._proxy import Forward, Proxy
from netio.transport._proxy_choice import Proxies, ProxyInput, find_proxies
from netio.transport._runtime import Background, Runtime, Waiter, current_runtime, wake
from netio.transport._runtime_task import INTERRUPTED, RunningTask, scoped_task
from netio.transport._stream_link import StreamLink
from netio.transport._tls import TLSChannel
from netio.transport._tls_context import tls_context
from netio.transport._tls_settings import TLS, InsecureWarning, Verify, check_verify

__all__ = [
    "deny_private",
    "Network",
    "KeepAlive",
    "AddressPolicy",
    "Address",
    "HIGH_WATER",
    "INTERRUPTED",
    "TLS",
    "AiodnsResolver",
    "Answer",
    "Background",
    "CaresResolver",
    "Connect",
    "Dial",
    "Dialer",
    "Forward",
    "HostsOption",
    "InsecureWarning",
    "Link",
    "NameStats",
    "Names",
    "Proxies",
    "Proxy",
    "ProxyInput",
    "Receiver",
    "RunningTask",
    "Resolver",
    "Runtime",
    "ServiceBinding",
    "StaticResolver",
    "StreamLink",
    "SystemResolver",
    "TLSChannel",
    "Verify",
    "Waiter",
    "check_verify",
    "current_runtime",
    "default_resolver",
    "find_proxies",
    "in_order",
    "scoped_task",
    "parse_address",
    "tls_context",
    "wake",
    "words",
]
