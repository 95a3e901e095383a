"""What a port holds: its attributes, who may set and see each, and the extensions that bring them."""

from __future__ import annotations

from kaon.resources import types
from kaon.resources.declare import REQUIRED, UNSET, Attribute, Extension, standard
from kaon.resources.dns import dns, dns_publishing
from kaon.resources.networks import pvlan
from kaon.resources.port_binding import attributes as binding
from kaon.resources.port_extensions import (
    data_plane_status,
    device_profile,
    hardware_offload,
    hints,
    numa_affinity,
    trusted,
    uplink_status,
)
from kaon.resources.ports.port_types import ADDRESS_PAIRS, DHCP_OPTIONS, FIXED_IPS
from kaon.resources.qos import ports as qos_ports
from kaon.resources.roles import (
    ADMIN,
    ADMIN_OR_MEMBER,
    ADMIN_OR_NETWORK_OWNER_MEMBER,
    ADMIN_OR_READER,
    ADMIN_OR_SERVICE,
    NETWORK_OWNER_MEMBER,
    NETWORK_OWNER_READER,
    SERVICE,
    either,
)
from kaon.resources.trunk import details as trunk

_NETWORK_OWNER = either(ADMIN_OR_SERVICE, NETWORK_OWNER_MEMBER)
_ON_SHARED = either(ADMIN_OR_SERVICE, NETWORK_OWNER_MEMBER, "rule:shared")
_PAIRS_RULE = either(ADMIN_OR_NETWORK_OWNER_MEMBER, SERVICE)
_OWNER = either(ADMIN_OR_MEMBER, SERVICE)
_DEVICE_OWNER = either("not rule:network_device", ADMIN_OR_SERVICE, NETWORK_OWNER_MEMBER)

ATTRIBUTES = standard(
    Attribute("network_id", types.UUID, default=REQUIRED, post=True),
    Attribute("admin_state_up", types.BOOLEAN, default=True, post=True, put=True),
    Attribute(
        "mac_address",
        types.nullable(types.MAC),
        default=UNSET,
        post=True,
        put=True,
        post_rule=_NETWORK_OWNER,
        put_rule=either(ADMIN_OR_SERVICE, "role:manager and rule:network_owner"),
        index=True,
    ),
    Attribute(
        "fixed_ips",
        FIXED_IPS,
        default=UNSET,
        post=True,
        put=True,
        post_rule=_ON_SHARED,
        put_rule=_NETWORK_OWNER,
        sort=False,
    ),
    Attribute(
        "device_id", types.text(255), default="", post=True, put=True, post_rule=_OWNER, put_rule=_OWNER, index=True
    ),
    Attribute(
        "device_owner",
        types.text(255),
        default="",
        post=True,
        put=True,
        post_rule=_DEVICE_OWNER,
        put_rule=_DEVICE_OWNER,
    ),
    Attribute("status", types.text(16)),
    Attribute(
        "security_groups",
        types.nullable(types.list_of(types.UUID)),
        default=UNSET,
        post=True,
        put=True,
        sort=False,
        alias="security-group",
    ),
    Attribute(
        "port_security_enabled",
        types.BOOLEAN,
        default=UNSET,
        post=True,
        put=True,
        post_rule=_NETWORK_OWNER,
        put_rule=_NETWORK_OWNER,
        filter=False,
        sort=False,
        alias="port-security",
    ),
    Attribute(
        "allowed_address_pairs",
        ADDRESS_PAIRS,
        default=[],
        post=True,
        put=True,
        post_rule=_PAIRS_RULE,
        put_rule=_PAIRS_RULE,
        sort=False,
        alias="allowed-address-pairs",
    ),
    Attribute(
        "extra_dhcp_opts",
        types.converted_list(DHCP_OPTIONS),
        default=None,
        post=True,
        put=True,
        filter=False,
        sort=False,
        alias="extra_dhcp_opt",
    ),
    *binding.ATTRIBUTES,
    Attribute(
        "dns_name", dns.PORT_NAME, default="", post=True, put=True, filter=False, sort=False, alias="dns-integration"
    ),
    *dns_publishing.PORT_ATTRIBUTES,
    Attribute(
        "dns_assignment",
        types.list_of(types.MAPPING),
        computed=dns.assignment,
        filter=False,
        sort=False,
        alias="dns-integration",
    ),
    Attribute("ip_allocation", types.text(16), alias="ip_allocation"),
    *qos_ports.ATTRIBUTES,
    Attribute("kaon:status_reason", types.nullable(types.text(1024)), get_rule=ADMIN, filter=False, sparse=True),
    *trunk.ATTRIBUTES,
    *pvlan.PORT_ATTRIBUTES,
    *data_plane_status.ATTRIBUTES,
    *device_profile.ATTRIBUTES,
    *hardware_offload.ATTRIBUTES,
    *hints.ATTRIBUTES,
    *numa_affinity.ATTRIBUTES,
    *trusted.ATTRIBUTES,
    *uplink_status.ATTRIBUTES,
    tagged_at_creation=True,
)

POLICIES = {
    # Other services have no business with tags, and the network's owner may take them off.
    "create_port:tags": ADMIN_OR_MEMBER,
    "get_port:tags": either(ADMIN_OR_READER, NETWORK_OWNER_READER),
    "update_port:tags": ADMIN_OR_MEMBER,
    "delete_port:tags": either(ADMIN_OR_MEMBER, NETWORK_OWNER_MEMBER),
    "network_device": "field:port:device_owner=~^network:",
    "create_port:fixed_ips:ip_address": _NETWORK_OWNER,
    "create_port:fixed_ips:subnet_id": _ON_SHARED,
    "update_port:fixed_ips:ip_address": _NETWORK_OWNER,
    "update_port:fixed_ips:subnet_id": _ON_SHARED,
    "create_port:allowed_address_pairs:mac_address": _PAIRS_RULE,
    "create_port:allowed_address_pairs:ip_address": _PAIRS_RULE,
    "update_port:allowed_address_pairs:mac_address": _PAIRS_RULE,
    "update_port:allowed_address_pairs:ip_address": _PAIRS_RULE,
}
"""Rules beyond those of the resource and of single attributes."""

EXTENSIONS = (
    Extension(
        "port-mac-address-regenerate",
        "Neutron Port MAC address regenerate",
        "Network port MAC address regenerate",
        "2018-05-03T10:00:00-00:00",
    ),
    Extension(
        "tag-ports-during-bulk-creation",
        "Tag Ports During Bulk Creation",
        "Allow to tag ports during bulk creation",
        "2019-12-29T19:00:00-00:00",
    ),
    Extension("allowed-address-pairs", "Allowed Address Pairs", "Provides allowed address pairs"),
    Extension(
        "aap-reject-multicast",
        "Allowed address pairs reject multicast extension",
        "Refuses multicast addresses in allowed address pairs",
    ),
    Extension("extra_dhcp_opt", "Neutron Extra DHCP options", "Extra options configuration for DHCP."),
    Extension("port-security", "Port Security", "Provides port security"),
    Extension("port-security-groups-filtering", "Port filtering on security groups", "Filters ports by their groups"),
    Extension(
        "l3-port-ip-change-not-allowed",
        "Prevent L3 router ports IP address change extension",
        "A router's addresses change by its own API only",
    ),
    Extension("ip_allocation", "IP Allocation", "IP allocation extension."),
    Extension("ip-substring-filtering", "IP address substring filtering", "Filters ports by a part of an address"),
    Extension("filter-validation", "Filter parameters validation", "Refuses unknown filters"),
    Extension("empty-string-filtering", "Empty String Filtering Extension", "Filters by empty strings"),
)
