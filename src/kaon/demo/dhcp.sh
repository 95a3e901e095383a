#!/bin/sh
# What a DHCP client does with an answer: address, MTU, routes. It leaves the machine's resolv.conf alone.
case "$1" in
deconfig)
    ip link set dev "$interface" up
    ip -4 addr flush dev "$interface"
    ;;
bound | renew)
    ip -4 addr flush dev "$interface"
    ip addr add "$ip/$mask" dev "$interface"
    [ -z "$mtu" ] || ip link set dev "$interface" mtu "$mtu"
    if [ -n "$staticroutes" ]; then
        # RFC 3442: with classless static routes, the router option is not looked at.
        set -- $staticroutes
        while [ $# -ge 2 ]; do
            case "$2" in
            0.0.0.0) ip route add "$1" dev "$interface" ;;
            *) ip route add "$1" via "$2" dev "$interface" ;;
            esac
            shift 2
        done
    elif [ -n "$router" ]; then
        ip route add default via "${router%% *}" dev "$interface"
    fi
    ;;
esac
