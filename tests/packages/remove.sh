# SPDX-License-Identifier: MIT OR Apache-2.0
# Removal leaves servers that start, and purging leaves nothing.
set -euo pipefail
apt-get -q remove -y libnginx-mod-http-gangway libapache2-mod-gangway gangway-engine-python gangway >/dev/null
mkdir -p /var/log/nginx /var/log/apache2 /run/apache2
nginx -t
apache2ctl configtest
apt-get -q purge -y libnginx-mod-http-gangway libapache2-mod-gangway gangway-engine-python gangway >/dev/null
nginx -t 2>/dev/null
apache2ctl configtest 2>/dev/null
a2dismod -q proxy >/dev/null 2>&1 || true
left=$(find / -xdev \( -path /proc -o -path /var/lib/dpkg -o -path /var/cache -o -path /var/log -o -path /var/lib/apt -o -path /tmp -o -path /tests \) -prune -o -print | sort |
    comm -13 /var/tmp/before - | grep -i gangway || true)
[[ -z $left ]] || { echo "packages: left after purge: $left" >&2; exit 1; }
diff <(cut -d: -f1 /etc/passwd) /var/tmp/users
echo "packages: nothing is left"
