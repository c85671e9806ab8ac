# SPDX-License-Identifier: MIT OR Apache-2.0
# The whole Debian becomes the next one, as docs/install.md says: the archive of Gangway is named together with the others. Both servers run, and the
# scripts of all packages may act on them.
. /tests/lib.sh
run_folders
next=$(cat /tests/next)
mapfile -t packages < <(names | xargs -n1)
version() { dpkg-query -W -f '${Version}' "$1"; }

service nginx start
block nginx-site
block user
service apache2 start
block httpd-site
printf '#!/bin/sh\nexit 0\n' >/usr/sbin/policy-rc.d
before=$(version libnginx-mod-http-gangway)
nginx_before=$(version nginx)

# What somebody sees who forgets it: what there is stays, and serves.
suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
sed -i "s/ $suite / $next /" /etc/apt/sources.list
apt-get -q update >/dev/null
! apt-get install -y --no-remove nginx >/var/tmp/block.log 2>&1 || fail "apt takes the nginx of $next without a module for it"
[[ $(version nginx) == "$nginx_before" ]] || fail "nginx is $(version nginx)"
ask http://127.0.0.1:8080/ "hello from Flask"

sed -i "s/ $suite / $next /" /etc/apt/sources.list.d/gangway.list
apt-get -q update >/dev/null
apt-get -q dist-upgrade -y -o Dpkg::Options::=--force-confold
[[ -z $(dpkg --audit) ]] || fail "dpkg has left something undone: $(dpkg --audit)"
[[ $(version nginx) != "$nginx_before" ]] || fail "nginx is still $nginx_before"
[[ $(version libnginx-mod-http-gangway) != "$before" ]] || fail "the module is still $before"
for name in "${packages[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name") == installed ]] || fail "$name is not installed any more"
done
note "nginx $nginx_before and its module $before have become $(version nginx) and $(version libnginx-mod-http-gangway)"
nginx -t
apache2ctl configtest
for service in nginx apache2; do service "$service" restart; done
ask http://127.0.0.1:8080/ "hello from Flask"
ask http://127.0.0.1:8081/ "hello from Flask"
for service in nginx apache2; do
    service "$service" stop
    gone "$service"
done
nothing_runs
