#!/bin/sh
# Install the servers of the live tests, on Debian and its kin. The tests start and stop them themselves.
set -eu

has() {
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]
}

# Caddy is not in every Debian: its wheel goes into the virtual environment of the tests, where there is one.
venv=${VENV:-.venv}
if [ -x "$venv/bin/python" ] && ! [ -x "$venv/bin/caddy" ]; then
    "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --group servers
fi

missing=""
has nginx || missing="$missing nginx"
has nghttpd || missing="$missing nghttp2-server"
has h2o || missing="$missing h2o"
has haproxy || missing="$missing haproxy"
has apache2 || missing="$missing apache2"
has ip || missing="$missing iproute2"
has dnsmasq || missing="$missing dnsmasq-base"
has squid || missing="$missing squid-openssl"
has tinyproxy || missing="$missing tinyproxy"
has microsocks || missing="$missing microsocks"
has danted || missing="$missing dante-server"
if [ -z "$missing" ]; then
    echo "nginx, nghttpd, h2o, HAProxy, Apache httpd, dnsmasq and the proxies are here already"
    exit 0
fi
if ! has apt-get; then
    echo "no apt-get here: install$missing by hand" >&2
    exit 1
fi

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian starts a server when it installs it, unless a policy says no (invoke-rc.d). A policy that is there already is the
# administrator's and stays; otherwise ours stands for as long as the installation takes.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'as_root rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
fi

as_root apt-get update -q
# shellcheck disable=SC2086  # the packages are separate words
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends -o DPkg::Lock::Timeout=120 $missing
has nginx && has nghttpd && has h2o && has haproxy && has apache2 && has dnsmasq &&
    has squid && has tinyproxy && has microsocks && has danted
