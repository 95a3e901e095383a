#!/bin/sh
# Installs OpenStack's own Keystone for the tests that trust it: pinned, in .venv-keystone, apart from Kaon, because its
# dependencies are many. Told again, it finds that nothing has changed and ends at once.
set -eu

cd "$(dirname "$0")/.."
VENV=$(pwd -P)/.venv-keystone
STAMP=$VENV/kaon-setup
PINS=tests/identity/keystone-constraints.txt

unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV PIP_CONSTRAINT || true

fingerprint() {
    { cat "$PINS" "scripts/test-keystone.sh"; echo "$VENV"; python3 -V; } | cksum
}

if [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$(fingerprint)" ] && [ -x "$VENV/bin/keystone-manage" ]; then
    exit 0
fi
printf 'setup: filling %s\n' "$VENV" >&2
rm -rf "$VENV"
python3 -m venv "$VENV"
"$VENV/bin/python" -m pip -q --disable-pip-version-check install -c "$PINS" keystone
fingerprint >"$STAMP"
