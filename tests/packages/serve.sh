# SPDX-License-Identifier: MIT OR Apache-2.0
# Debian's own layout of both servers: a WSGI application, a CGI program and php-fpm in each, and gangway-host by itself.
set -euo pipefail
fail() { echo "packages: $*" >&2; exit 1; }

mkdir -p /srv/app /srv/cgi /srv/php /run/php
cat >/srv/app/app.py <<'PY'
import os, flask
app = flask.Flask(__name__)

@app.route("/")
def hello():
    return f"flask {os.getpid()}\n"
PY
printf '#!/bin/sh\nprintf "Content-Type: text/plain\\n\\ncgi $PATH_INFO\\n"\n' >/srv/cgi/hello
chmod 755 /srv/cgi/hello
echo '<?php echo "php ", PHP_SAPI, "\n";' >/srv/php/index.php
fpm=$(echo /usr/sbin/php-fpm*)
"$fpm" --daemonize
fpm_socket=$(echo /run/php/php*-fpm.sock)

# ask URL START: until the server answers.
ask() {
    local page=
    for _ in $(seq 100); do
        page=$(curl -sS "$1" 2>&1) && break
        sleep 0.1
    done
    [[ $page == "$2"* ]] || { tail -n 20 /var/log/nginx/error.log /var/log/apache2/error.log >&2; fail "$1 is '$page' instead of '$2'"; }
    echo "packages: $1: $page"
}

gone() {
    for _ in $(seq 100); do
        pgrep -x "$1" >/dev/null || return 0
        sleep 0.1
    done
    fail "$1 does not end: $(pgrep -ax "$1")"
}

cat >/etc/nginx/sites-available/gangway <<CONF
server {
    listen 127.0.0.1:8081;
    location / { gangway_wsgi app:app root=/srv/app; }
    location /cgi/ { alias /srv/cgi/; gangway_cgi on; }
    location ~ \.php\$ { root /srv/php; gangway_pass fastcgi://unix:$fpm_socket; }
}
CONF
ln -sf ../sites-available/gangway /etc/nginx/sites-enabled/gangway
nginx -t
nginx
ask http://127.0.0.1:8081/ "flask "
ask http://127.0.0.1:8081/cgi/hello/there "cgi /there"
ask http://127.0.0.1:8081/index.php "php fpm-fcgi"
nginx -s reload
ask http://127.0.0.1:8081/ "flask "
nginx -s quit
gone nginx

cat >/etc/apache2/sites-available/gangway.conf <<CONF
Listen 127.0.0.1:8082
<VirtualHost 127.0.0.1:8082>
    ServerName localhost
    DocumentRoot /srv/php
    <Directory /srv>
        Require all granted
    </Directory>
    <Location /app>
        GangwayWSGI app:app root=/srv/app
    </Location>
    Alias /cgi /srv/cgi
    <Directory /srv/cgi>
        Options +ExecCGI
        GangwayCGI On
    </Directory>
    <FilesMatch "\.php\$">
        SetHandler "proxy:unix:$fpm_socket|fcgi://localhost"
    </FilesMatch>
</VirtualHost>
CONF
a2ensite -q gangway
apache2ctl configtest
apache2ctl start
ask http://127.0.0.1:8082/app/ "flask "
ask http://127.0.0.1:8082/cgi/hello/there "cgi /there"
ask http://127.0.0.1:8082/index.php "php fpm-fcgi"
apache2ctl graceful
ask http://127.0.0.1:8082/app/ "flask "
apache2ctl stop
gone apache2

gangway-host --version
gangway-host --listen 127.0.0.1:9099 wsgi app:app root=/srv/app &
host=$!
for _ in $(seq 100); do
    (exec 3<>/dev/tcp/127.0.0.1/9099) 2>/dev/null && break
    sleep 0.1
done
kill -TERM "$host"
wait "$host" || fail "gangway-host ended with status $?"
left=$(ps -eo comm= | grep -i gangway || true)
[[ -z $left ]] || fail "processes are left: $left"
a2dissite -q --purge gangway
rm -f /etc/nginx/sites-enabled/gangway /etc/nginx/sites-available/gangway /etc/apache2/sites-available/gangway.conf
