"""Messages of traffic control: token buckets, and what sends all that comes in by a link through another one first.

Formats: linux/rtnetlink.h, linux/pkt_sched.h (tbf), linux/pkt_cls.h (cls_bpf), linux/tc_act/tc_mirred.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from kaon.engines.linux import netlink as nl
from kaon.engines.linux.link import NEWLINK, Request
from kaon.engines.linux.namespaces import Namespace

NEWQDISC, DELQDISC, GETQDISC = 36, 37, 38
NEWFILTER, DELFILTER, GETFILTER = 44, 45, 46

_TCMSG = struct.Struct("=BxxxiIII")
_KIND, _OPTIONS = 1, 2
_ROOT = 0xFFFFFFFF
_CLSACT, _CLSACT_HANDLE = 0xFFFFFFF1, 0xFFFF0000
_INGRESS, _EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
BUCKET_HANDLE = 0x6B610000
"""The handle by which a token bucket is known as ours."""
PREFERENCE = 0x6B61
"""The priority of our filter: behind those that an operator is likely to set."""

_RATE = struct.Struct("=BBHhHI")
_TBF = struct.Struct(_RATE.format + _RATE.format.removeprefix("=") + "III")
_TBF_PARAMETERS, _TBF_RATE64, _TBF_BURST = 1, 4, 6
_ETHERNET = 1
_U32 = 0xFFFFFFFF
_TICK_NS = 64

_BPF_ACTION, _BPF_LENGTH, _BPF_PROGRAM = 1, 4, 5
_MATCH_ALL = struct.pack("=HBBI", 0x06, 0, 0, _U32)
"""Classic BPF: return -1, a match with the filter's own class."""
_ACTION_KIND, _ACTION_OPTIONS, _MIRRED_PARAMETERS = 1, 2, 2
_MIRRED = struct.Struct("=IIiiiiI")
_STOLEN, _EGRESS_REDIRECT = 4, 1


class Bucket(NamedTuple):
    """A token bucket that exists: bytes a second, bytes at once, bytes that may wait."""

    rate: int
    burst: int
    queue: int


def burst_unit(rate: int) -> int:
    """Bytes of which a burst is a multiple: the kernel keeps bursts as times, and forgets less than half of this."""
    return max(1000, rate * 8 * _TICK_NS // 1_000_000_000)


def whole_burst(rate: int, burst: int) -> int:
    """A burst as the kernel can tell it back: rounded up, and no more than its 32 bits of bytes and of ticks hold."""
    unit = burst_unit(rate)
    most = min(_U32, rate * _U32 * _TICK_NS // 1_000_000_000 - unit)
    return min(-(-burst // unit), most // unit) * unit


def dump_buckets(namespace: Namespace) -> Iterator[tuple[int, Bucket]]:
    """Our token buckets at the roots of links, by the links' numbers."""
    for body in namespace.route.dump(GETQDISC, _TCMSG.pack(0, 0, 0, 0, 0)):
        _, index, handle, parent, _ = _TCMSG.unpack_from(body)
        found = nl.attrs(body, _TCMSG.size)
        if handle != BUCKET_HANDLE or parent != _ROOT or nl.text(found.get(_KIND, b"")) != "tbf":
            continue
        options = nl.attrs(found.get(_OPTIONS, b""))
        parameters = _TBF.unpack_from(options[_TBF_PARAMETERS])
        rate = nl.number(options.get(_TBF_RATE64, b"")) or parameters[5]
        queue, ticks = parameters[12], parameters[13]
        unit = burst_unit(rate)
        burst = ticks * _TICK_NS * rate / 1_000_000_000
        yield index, Bucket(rate, round(burst / unit) * unit, queue)


def put_bucket(index: int, bucket: Bucket) -> Request:
    """The message that makes a link's root a token bucket, or changes the one that is there."""
    rate = _RATE.pack(0, _ETHERNET, 0, 0, 0, min(bucket.rate, _U32))
    parameters = rate + bytes(_RATE.size) + struct.pack("=III", bucket.queue, 0, 0)
    options = [nl.attr(_TBF_PARAMETERS, parameters), nl.attr(_TBF_BURST, bucket.burst)]
    if bucket.rate > _U32:
        options.append(nl.attr(_TBF_RATE64, struct.pack("=Q", bucket.rate)))
    body = _TCMSG.pack(0, index, BUCKET_HANDLE, _ROOT, 0) + nl.attr(_KIND, "tbf")
    return NEWQDISC, nl.CREATE | nl.REPLACE, body + nl.attr(_OPTIONS, b"".join(options))


def delete_bucket(index: int) -> Request:
    """The message that takes a link's token bucket away; what the link had by itself comes back."""
    return DELQDISC, 0, _TCMSG.pack(0, index, BUCKET_HANDLE, _ROOT, 0)


def put_hooks(index: int) -> Request:
    """The message that gives a link the place where filters on what comes in stand; fine when it has it."""
    return NEWQDISC, nl.CREATE, _TCMSG.pack(0, index, _CLSACT_HANDLE, _CLSACT, 0) + nl.attr(_KIND, "clsact")


def delete_hooks(index: int) -> Request:
    """The message that takes that place away."""
    return DELQDISC, 0, _TCMSG.pack(0, index, _CLSACT_HANDLE, _CLSACT, 0)


def put_detour(index: int, through: int) -> Request:
    """The message that sends all that comes in by a link out of another one: an ifb, which gives it back."""
    parameters = _MIRRED.pack(0, 0, _STOLEN, 0, 0, _EGRESS_REDIRECT, through)
    action = nl.attr(_ACTION_KIND, "mirred") + nl.nest(_ACTION_OPTIONS, nl.attr(_MIRRED_PARAMETERS, parameters))
    options = nl.nest(
        _OPTIONS,
        nl.nest(_BPF_ACTION, nl.nest(1, action)),
        nl.attr(_BPF_LENGTH, struct.pack("=H", 1)),
        nl.attr(_BPF_PROGRAM, _MATCH_ALL),
    )
    body = _TCMSG.pack(0, index, 1, _INGRESS, _info()) + nl.attr(_KIND, "bpf") + options
    return NEWFILTER, nl.CREATE | nl.REPLACE, body


def delete_detour(index: int) -> Request:
    """The message that lets what comes in by a link go straight on again."""
    return DELFILTER, 0, _TCMSG.pack(0, index, 0, _INGRESS, _info())


def detour(namespace: Namespace, index: int) -> int:
    """The number of the link through which all that comes in by a link is sent; 0 without."""
    for body in _filters(namespace, index, _INGRESS):
        _, _, handle, _, info = _TCMSG.unpack_from(body)
        if info >> 16 != PREFERENCE or not handle:
            continue
        options = nl.attrs(nl.attrs(body, _TCMSG.size).get(_OPTIONS, b""))
        action = nl.attrs(nl.attrs(options.get(_BPF_ACTION, b"")).get(1, b""))
        parameters = nl.attrs(action.get(_ACTION_OPTIONS, b"")).get(_MIRRED_PARAMETERS, b"")
        if len(parameters) >= _MIRRED.size:
            return int(_MIRRED.unpack_from(parameters)[6])
    return 0


def filtered(namespace: Namespace, index: int) -> bool:
    """Whether a link has any filter, whoever set it."""
    return any(_filters(namespace, index, parent) for parent in (_INGRESS, _EGRESS))


def create_ifb(name: str) -> Request:
    """The message that makes an intermediate device, down."""
    info = nl.nest(18, nl.attr(1, "ifb"))
    return NEWLINK, nl.CREATE | nl.EXCL, struct.pack("=BxHiII", 0, 0, 0, 0, 0) + nl.attr(3, name) + info


def _filters(namespace: Namespace, index: int, parent: int) -> list[bytes]:
    try:
        return namespace.route.dump(GETFILTER, _TCMSG.pack(0, index, 0, parent, 0))
    except nl.NetlinkError as error:
        if error.errno in (2, 19, 22):  # There is no place for filters, or the link has just gone.
            return []
        raise


def _info() -> int:
    return PREFERENCE << 16 | socket.htons(0x0003)
