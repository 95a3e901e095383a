"""`kaon attach`: make a port appear on this host, in a namespace or as a tap device."""

from __future__ import annotations

import argparse
import asyncio
import base64
import time
from pathlib import Path

from kaon.agent import control
from kaon.channel import Attachment
from kaon.cli.datafolder import DataFolder
from kaon.cli.options import add_settings, settings_from


class AttachError(Exception):
    """The command line asks for what cannot be."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_settings(parser, ("data",))
    parser.add_argument("port", metavar="PORT", help="id of the port")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--netns", metavar="NAME", default="", help="namespace (`ip netns add NAME`) that gets the port")
    place.add_argument("--tap", metavar="NAME", default="", help="name of a tap device for a virtual machine to open")
    parser.add_argument("--ifname", metavar="NAME", default="eth0", help="name of the interface in the namespace")
    parser.add_argument("--hostname", metavar="NAME", default="", help="what the metadata service calls the instance")
    parser.add_argument("--instance-id", metavar="ID", default="", help="id of the instance in its metadata")
    parser.add_argument("--user-data", metavar="FILE", default="", help="file with the user data of the instance")
    add_wait(parser)


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Add `--wait` and `--no-wait`."""
    parser.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="return when it is done (default), or as soon as it is stored",
    )


def run(arguments: argparse.Namespace) -> int:
    """Attach a port and say where it is and what its addresses are."""
    attachment = Attachment(
        port_id=arguments.port,
        netns=arguments.netns,
        tap=arguments.tap,
        ifname=arguments.ifname,
        hostname=arguments.hostname,
        instance_id=arguments.instance_id,
        user_data=user_data(arguments.user_data),
    )
    wait = control.PATIENCE if arguments.wait else 0.0
    began = time.perf_counter()
    port = asyncio.run(control.attach(control_socket(arguments), attachment, wait))
    milliseconds = (time.perf_counter() - began) * 1000
    where = f"{attachment.netns}:{attachment.ifname}" if attachment.netns else attachment.tap
    print(f"{attachment.port_id} is {where}, {addresses(port)} ({milliseconds:.0f} ms)")
    return 0


def control_socket(arguments: argparse.Namespace) -> Path:
    """The socket of the agent that keeps its files in the data folder."""
    return DataFolder(Path(settings_from(arguments, ("data",)).data)).agent / control.SOCKET


def user_data(path: str) -> str:
    """The content of a file as base64; "" for no file."""
    if not path:
        return ""
    try:
        return base64.b64encode(Path(path).read_bytes()).decode()
    except OSError as error:
        raise AttachError(f"--user-data {path}: {error.strerror}") from error


def addresses(port: dict[str, object]) -> str:
    """MAC and IP addresses of a port in words."""
    fixed_ips = port.get("fixed_ips")
    known = [str(ip["ip_address"]) for ip in fixed_ips if isinstance(ip, dict)] if isinstance(fixed_ips, list) else []
    return f"MAC address {port.get('mac_address')}, " + (", ".join(known) or "no IP address")
