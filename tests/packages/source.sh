# SPDX-License-Identifier: MIT OR Apache-2.0
# What docs/install.md says of the source, in a Debian that has nothing but Rust and make. "build" needs the archive of Debian, "serve" is cut off
# from it: the two sites of the page, then the module for nginx.org's nginx, in a nginx that is built here as nginx.org builds it.
. /tests/lib.sh
run_folders
cd /srv/gangway
NGINX_ORG=1.28.3

build() {
    apt-get -q update
    apt-get -q install -y --no-install-recommends make procps adduser
    block application
    block source
    # It must not have started or enabled what it has installed.
    ! pgrep -x 'nginx|apache2' || fail "make has started a server"
    cp /usr/lib/nginx/modules/ngx_http_gangway_module.so /var/tmp/module-of-debian.so
    block modules
    said "nginx $NGINX_ORG, signature"
    # Configured as nginx.org's packages are; only this test compiles it.
    make -s -C "build/nginx-org-$NGINX_ORG" -j "$(nproc)" >/var/tmp/block.log 2>&1 || { tail -n 20 /var/tmp/block.log >&2; fail "nginx $NGINX_ORG cannot be built"; }
}

serve_debian() {
    cp /usr/lib/nginx/modules/ngx_http_gangway_module.so /var/tmp/module-of-nginx-org.so
    cp /var/tmp/module-of-debian.so /usr/lib/nginx/modules/ngx_http_gangway_module.so
    # Two servers on one host.
    sed -i 's/^Listen 80$/Listen 8084/' /etc/apache2/ports.conf
    # Services are not started by their installation in here.
    service nginx start
    block nginx-site
    said "hello from Flask"
    service apache2 start
    block httpd-site
    said "hello from Flask"
    adduser --quiet --system --group --no-create-home --home /srv/blog blog
    sed -i 's|blog:app root=/srv/blog|& user=blog processes=1|' /etc/nginx/conf.d/blog.conf
    service nginx reload
    ask http://127.0.0.1:8080/ "hello from Flask"
    gangway status >/var/tmp/block.log
    said "blog:app"
    service nginx stop
    service apache2 stop
    gone nginx
    gone apache2
    nothing_runs
}

# The binary that was built as nginx.org builds its own takes the module, and Debian's nginx of another version names both versions.
serve_nginx_org() {
    local folder=/var/tmp/nginx-org
    mkdir -p "$folder/logs"
    cat >"$folder/nginx.conf" <<CONF
load_module /var/tmp/module-of-nginx-org.so;
user www-data;
pid $folder/nginx.pid;
error_log $folder/error.log;
events {}
http {
    access_log off;
    server {
        listen 127.0.0.1:8093;
        location / { gangway_wsgi blog:app root=/srv/blog; }
    }
}
CONF
    "build/nginx-org-$NGINX_ORG/objs/nginx" -p "$folder" -c "$folder/nginx.conf" -e "$folder/error.log"
    ask http://127.0.0.1:8093/ "hello from Flask"
    kill -QUIT "$(cat "$folder/nginx.pid")"
    gone nginx
    nothing_runs
    ! nginx -t -c "$folder/nginx.conf" >/var/tmp/block.log 2>&1 || fail "Debian's nginx takes a module of nginx.org's"
    # A function of nginx that the older one has not is named before the version.
    grep -m1 -E 'version [0-9]+ instead of [0-9]+|undefined symbol: ngx_' /var/tmp/block.log >/var/tmp/line || { cat /var/tmp/block.log >&2; fail "nginx says something else"; }
    note "$(cat /var/tmp/line)"
}

serve() {
    serve_debian
    serve_nginx_org
}

"$1"
