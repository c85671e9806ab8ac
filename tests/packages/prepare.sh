# SPDX-License-Identifier: MIT OR Apache-2.0
# What a host has before it gets Gangway: the servers and php-fpm. Services are not started: there is no init in here.
. /tests/lib.sh
packages=(apache2 php-fpm php-cgi python3-venv curl procps adduser ca-certificates)
! has_nginx || packages+=(nginx)
apt-get -q update
apt-get -q install -y --no-install-recommends "${packages[@]}"
if has_nginx; then
    mkdir -p /var/tmp/nginx
    (cd /var/tmp/nginx && apt-get download nginx)
fi
# Two servers on one host.
sed -i 's/^Listen 80$/Listen 8084/' /etc/apache2/ports.conf
listing >/var/tmp/before
cut -d: -f1 /etc/passwd >/var/tmp/users
cut -d: -f1 /etc/group >/var/tmp/groups
