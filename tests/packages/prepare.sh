# SPDX-License-Identifier: MIT OR Apache-2.0
# What a host has before it gets Gangway: the servers, Flask, php-fpm. Services are not started: there is no init in here.
set -euo pipefail
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get -q update
apt-get -q install -y --no-install-recommends nginx apache2 python3-flask php-fpm curl procps
find / -xdev \( -path /proc -o -path /var/lib/dpkg -o -path /var/cache -o -path /var/log -o -path /var/lib/apt -o -path /tmp -o -path /tests \) -prune -o -print | sort >/var/tmp/before
cut -d: -f1 /etc/passwd >/var/tmp/users
