#!/bin/sh
# Installs what Kaon needs: Debian packages by name, a virtual environment in .venv, pinned Python packages in it.
# Told again, it finds that nothing has changed and ends at once. `--dry-run` only prints what it would do.
set -eu

cd "$(dirname "$0")/.."
ROOT=$(pwd -P)
VENV=$ROOT/.venv
STAMP=$VENV/kaon-setup

# What other people's environments set, and what would lead the installation elsewhere.
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV PIP_CONSTRAINT || true

# Package, and why.
PACKAGES='
nftables        security groups, NAT and anti-spoofing (libnftables in process; `nft` in tests)
dnsmasq-base    DHCP, router advertisements and DNS of networks
iproute2        `ip` in tests and the demo, to look at what Kaon has made
iputils-ping    ping in tests and the demo
conntrack       tests look at connections and at their zones
udhcpc          a real DHCP client for the instances of tests and the demo
isc-dhcp-client a real DHCPv6 client for tests
ndisc6          tests see router advertisements as a host does
util-linux      unshare for tests, nsenter for `kaon exec`
'

say() { printf '%s\n' "$*" >&2; }

python_is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

missing_packages() {
    names=$(printf '%s' "$PACKAGES" | awk 'NF { print $1 }')
    # Debian's python3 comes without the module that fills a virtual environment; other builds have it.
    if [ ! -x "$VENV/bin/python" ] && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        names="python3-venv $names"
    fi
    # shellcheck disable=SC2086
    dpkg-query -W -f '${Package} ${db:Status-Status}\n' $names 2>/dev/null |
        awk -v names="$(echo $names)" '
            $2 == "installed" { have[$1] = 1 }
            END { n = split(names, name, " "); for (i = 1; i <= n; i++) if (!have[name[i]]) printf "%s ", name[i] }'
}

fingerprint() {
    { cat pyproject.toml constraints.txt scripts/setup.sh; echo "$ROOT"; } | cksum
}

virtual_environment_is_current() {
    [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$(fingerprint)" ] && [ -x "$VENV/bin/kaon" ] &&
        python_is_new_enough "$VENV/bin/python"
}

install_packages() {
    if ! command -v apt-get >/dev/null; then
        say "setup: this machine has no apt-get; install these by its own means: $*"
        exit 1
    fi
    as_root=''
    if [ "$(id -u)" -ne 0 ]; then
        as_root=sudo
        if ! command -v sudo >/dev/null; then
            say "setup: these packages are missing, and there is no sudo; as root: apt-get install $*"
            exit 1
        fi
    fi
    say "setup: installing $*"
    $as_root apt-get -q update >&2
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" >&2
}

install_python() {
    python_is_new_enough python3 || {
        say "setup: python3 is $(python3 -V 2>&1 || echo missing); Kaon needs 3.11 or newer, first on PATH"
        exit 1
    }
    say "setup: filling $VENV"
    rm -f "$STAMP"
    if ! python_is_new_enough "$VENV/bin/python" || ! "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
        rm -rf "$VENV"
        python3 -m venv "$VENV"
    fi
    # The build tool is pinned too, so it is installed here and not found anew by an isolated build.
    "$VENV/bin/python" -m pip -q --disable-pip-version-check install -U -c constraints.txt setuptools
    "$VENV/bin/python" -m pip -q --disable-pip-version-check install -c constraints.txt \
        --no-build-isolation -e '.[dev]'
    fingerprint >"$STAMP"
}

MISSING=$(missing_packages)
if [ "${1:-}" = --dry-run ]; then
    echo "packages: ${MISSING:-none}"
    if virtual_environment_is_current; then echo 'python: nothing'; else echo 'python: install'; fi
    exit 0
fi
# shellcheck disable=SC2086
[ -z "$MISSING" ] || install_packages $MISSING
virtual_environment_is_current || install_python
