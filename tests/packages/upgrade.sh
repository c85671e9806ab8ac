# SPDX-License-Identifier: MIT OR Apache-2.0
# From the version before, while each server answers a request in its own process and one in a process of its own; then a nginx with another ABI.
. /tests/lib.sh
run_folders

# Nothing but what is in these folders: there is no network in here.
only() { printf 'Dir::Etc::sourcelist "/var/tmp/%s.list";\nDir::Etc::sourceparts "-";\n' "$1" >/etc/apt/apt.conf.d/99-tests; }
echo 'deb [trusted=yes] file:/srv/apt-previous ./' >/var/tmp/previous.list
cp /etc/apt/sources.list.d/gangway.list /var/tmp/current.list
mapfile -t packages < <(names | xargs -n1)
version() { dpkg-query -W -f '${Version}' "$1"; }

only previous
apt-get -q update >/dev/null
apt-get -q install -y --allow-downgrades "${packages[@]/%/=0.0.9*}" >/dev/null
for name in "${packages[@]}"; do
    [[ $(version "$name") == 0.0.9-* ]] || fail "$name is $(version "$name")"
done

mkdir -p /srv/slow
rm -f /srv/slow/upgraded
cat >/srv/slow/slow.py <<'PY'
import os, time

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"begin\n"
    # Until the upgrade is done, however long that takes.
    while environ.get("QUERY_STRING") and not os.path.exists("/srv/slow/upgraded"):
        yield b"."
        time.sleep(0.1)
    yield b"end\n"
PY
ports=(8082)
cat >/etc/apache2/conf-enabled/slow.conf <<'CONF'
Listen 127.0.0.1:8082
<Location /in>
    GangwayWSGI slow:app root=/srv/slow
</Location>
<Location /own>
    GangwayWSGI slow:app root=/srv/slow processes=1
</Location>
CONF
# On this machine the scripts of the packages may act on services: that is what is tried.
printf '#!/bin/sh\nexit 0\n' >/usr/sbin/policy-rc.d
if has_nginx; then
    mv /etc/nginx/conf.d/blog.conf /var/tmp/
    ports+=(8083)
    cat >/etc/nginx/conf.d/slow.conf <<'CONF'
server {
    listen 127.0.0.1:8083;
    location /in { gangway_wsgi slow:app root=/srv/slow; }
    location /own { gangway_wsgi slow:app root=/srv/slow processes=1; }
}
CONF
    service nginx start
fi
service apache2 start
clients=()
for port in "${ports[@]}"; do
    for place in in own; do
        ask "http://127.0.0.1:$port/$place" begin
        curl -sSN "http://127.0.0.1:$port/$place?slowly" >"/var/tmp/$port-$place" 2>&1 &
        clients+=($!)
    done
done
for port in "${ports[@]}"; do
    for place in in own; do
        for _ in $(seq 100); do
            ! grep -q begin "/var/tmp/$port-$place" || break
            sleep 0.1
        done
    done
done

only current
block upgrade
for name in "${packages[@]}"; do
    [[ $(version "$name") != 0.0.9-* ]] || fail "$name was not upgraded"
done
for client in "${clients[@]}"; do
    kill -0 "$client" || fail "a request that was under way has ended: $(tail -n 2 /var/tmp/808?-*)"
done
for port in "${ports[@]}"; do ask "http://127.0.0.1:$port/in" begin; done
touch /srv/slow/upgraded
for client in "${clients[@]}"; do
    wait "$client" || fail "a request that was under way has failed"
done
for port in "${ports[@]}"; do
    for place in in own; do
        grep -qx '\.*end' "/var/tmp/$port-$place" || fail "a request that was under way got '$(cat "/var/tmp/$port-$place")' ($port, $place)"
        ask "http://127.0.0.1:$port/$place" begin
    done
done
note "no request was lost by the upgrade"
# nginx runs the new module. (httpd keeps its modules until a restart, and so does what supervises processes.)
if has_nginx; then
    old=$(grep -oE '/usr/lib/.*gangway.* \(deleted\)' "/proc/$(cat /run/nginx.pid)/maps" | sort -u || true)
    [[ -z $old ]] || fail "nginx still has the version before: $old"
fi
# And each of them starts with it.
for service in apache2 nginx; do
    [[ ! -e /etc/init.d/$service ]] || service "$service" restart
done
for port in "${ports[@]}"; do
    for place in in own; do ask "http://127.0.0.1:$port/$place" begin; done
done
for service in apache2 nginx; do
    [[ ! -e /etc/init.d/$service ]] || service "$service" stop
    gone "$service"
done
nothing_runs
rm -f /etc/apache2/conf-enabled/slow.conf /etc/nginx/conf.d/slow.conf

other_abi() {
    local before
    before=$(version nginx)
    mv /var/tmp/blog.conf /etc/nginx/conf.d/
    mkdir -p /var/tmp/other
    dpkg-deb -R /var/tmp/nginx/nginx_*.deb /var/tmp/other/tree
    sed -i -e 's/^Version:.*/Version: 9:9.9.9-1/' -e 's/nginx-abi-[0-9.-]*/nginx-abi-9.9.9-1/' /var/tmp/other/tree/DEBIAN/control
    grep -q '^Provides:.*nginx-abi-9.9.9-1' /var/tmp/other/tree/DEBIAN/control || fail "the package nginx provides no ABI any more"
    dpkg-deb -b /var/tmp/other/tree /var/tmp/other/nginx_9.9.9-1_amd64.deb >/dev/null
    echo "deb [trusted=yes] file:/var/tmp/other ./" >>/var/tmp/current.list
    dpkg-deb -f /var/tmp/other/nginx_9.9.9-1_amd64.deb >/var/tmp/other/Packages
    printf 'Filename: ./nginx_9.9.9-1_amd64.deb\nSize: %s\nSHA256: %s\n' "$(stat -c %s /var/tmp/other/*.deb)" \
        "$(sha256sum /var/tmp/other/*.deb | cut -d ' ' -f 1)" >>/var/tmp/other/Packages
    block upgrade
    [[ $(version nginx) == "$before" ]] || fail "apt has taken a nginx that the module was not built for"
    said "nginx"
    ! apt-get install -y --no-remove nginx >/var/tmp/block.log 2>&1 || fail "apt has taken it"
    # dpkg by itself replaces the files, but does not restart what runs.
    printf '#!/bin/sh\necho "$@" >>/var/tmp/started\nexit 101\n' >/usr/sbin/policy-rc.d
    ! dpkg -i /var/tmp/other/nginx_9.9.9-1_amd64.deb >/var/tmp/block.log 2>&1 || fail "dpkg has configured it"
    said "libnginx-mod-http-gangway"
    ! grep -s 'nginx.*start' /var/tmp/started || fail "dpkg has restarted nginx"
    dpkg -i /var/tmp/nginx/nginx_*.deb >/dev/null 2>&1
    dpkg --configure -a >/dev/null
    [[ $(version nginx) == "$before" ]] || fail "nginx is $(version nginx)"
    nginx -t
    note "a nginx with another ABI is refused by apt, and not started by dpkg"
}
! has_nginx || other_abi
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
rm /etc/apt/apt.conf.d/99-tests
