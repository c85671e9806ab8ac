# SPDX-License-Identifier: MIT OR Apache-2.0
# Debian's own layout of both servers: the steps of docs/install.md, then a CGI program, php-fpm and a process of another user in each.
. /tests/lib.sh
run_folders

mkdir -p /srv/cgi /srv/php /srv/who
printf '#!/bin/sh\nprintf "Content-Type: text/plain\\n\\ncgi $PATH_INFO\\n"\n' >/srv/cgi/hello
chmod 755 /srv/cgi/hello
echo '<?php echo "php ", PHP_SAPI, "\n";' >/srv/php/index.php
cat >/srv/who/who.py <<'PY'
import flask, os, pwd
app = flask.Flask(__name__)

@app.route("/")
def hello():
    return f"user {pwd.getpwuid(os.getuid()).pw_name}\n"
PY
# An event loop and handlers, on whatever Python this Debian has.
cat >/srv/who/tasks.py <<'PY'
import asyncio, contextvars, sys

here = contextvars.ContextVar("here")

async def doubled(number):
    await asyncio.sleep(0.01)
    return number * 2 if here.get() == "set" else None

async def app(scope, receive, send):
    assert scope["type"] == "http"
    here.set("set")
    task = asyncio.current_task()
    assert isinstance(task, asyncio.Task) and task in asyncio.all_tasks()
    if sys.version_info >= (3, 11):
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            parts = [group.create_task(doubled(number)) for number in (1, 2, 3)]
        found = [part.result() for part in parts]
    else:
        found = await asyncio.wait_for(asyncio.gather(*map(doubled, (1, 2, 3))), 10)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": f"tasks {found} on {sys.version.split()[0]}\n".encode()})
PY
cat >/srv/who/counter.py <<'PY'
from mod_python import Session, apache

def handler(req):
    session = Session.Session(req)
    session["count"] = session.get("count", 0) + 1
    session.save()
    req.content_type = "text/plain"
    req.write(f"handler {session['count']} {session.is_new()}\n")
    return apache.OK
PY
fpm=$(echo /usr/sbin/php-fpm*)
"$fpm" --daemonize
fpm_socket=$(echo /run/php/php*-fpm.sock)

serve_nginx() {
    # The installation has started it, on a machine with an init.
    service nginx start
    block nginx-site
    said "hello from Flask"
    block user
    said "hello from Flask"
    for _ in $(seq 100); do
        ! (block status) >/dev/null 2>&1 || break
        sleep 0.1
    done
    block status
    # blog:app stands in the list of gangway status, with its user.
    said "blog"
    pgrep -u blog >/dev/null || fail "no process belongs to the user of the application"
    cat >/etc/nginx/sites-available/gangway <<CONF
server {
    listen 127.0.0.1:8091;
    location / { gangway_wsgi who:app root=/srv/who; }
    location /tasks/ { gangway_asgi tasks:app root=/srv/who; }
    location /counter/ { gangway_python_handler counter root=/srv/who; }
    location /cgi/ { alias /srv/cgi/; gangway_cgi on; }
    location ~ \.php\$ { root /srv/php; gangway_pass fastcgi://unix:$fpm_socket; }
}
CONF
    ln -s ../sites-available/gangway /etc/nginx/sites-enabled/gangway
    nginx -t
    service nginx reload
    ask http://127.0.0.1:8091/ "user www-data"
    ask http://127.0.0.1:8091/cgi/hello/there "cgi /there"
    ask http://127.0.0.1:8091/tasks/ "tasks [2, 4, 6] on 3."
    ask http://127.0.0.1:8091/counter/ "handler 1 "
    ask http://127.0.0.1:8091/index.php "php fpm-fcgi"
    service nginx reload
    ask http://127.0.0.1:8091/ "user www-data"
    service nginx stop
    gone nginx
    nothing_runs
    rm /etc/nginx/sites-enabled/gangway /etc/nginx/sites-available/gangway
}

serve_httpd() {
    id blog >/dev/null 2>&1 || adduser --quiet --system --group --no-create-home --home /srv/blog blog
    apt-get install -y gangway >/dev/null
    service apache2 start
    block httpd-site
    said "hello from Flask"
    cat >/etc/apache2/sites-available/gangway.conf <<CONF
Listen 127.0.0.1:8092
<VirtualHost 127.0.0.1:8092>
    ServerName localhost
    DocumentRoot /srv/php
    <Directory /srv>
        Require all granted
    </Directory>
    <Location /app>
        GangwayWSGI who:app root=/srv/who
    </Location>
    <Location /own>
        GangwayWSGI who:app root=/srv/who user=blog processes=1 name=own
    </Location>
    <Location /tasks>
        GangwayASGI tasks:app root=/srv/who
    </Location>
    <Location /counter>
        GangwayPythonHandler counter root=/srv/who
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
    a2enmod -q proxy proxy_gangway mpm_event
    a2ensite -q gangway
    apache2ctl configtest
    service apache2 restart
    ask http://127.0.0.1:8092/app/ "user www-data"
    ask http://127.0.0.1:8092/own/ "user blog"
    ask http://127.0.0.1:8092/cgi/hello/there "cgi /there"
    ask http://127.0.0.1:8092/tasks/ "tasks [2, 4, 6] on 3."
    ask http://127.0.0.1:8092/counter/ "handler 1 "
    ask http://127.0.0.1:8092/index.php "php fpm-fcgi"
    service apache2 reload
    ask http://127.0.0.1:8092/own/ "user blog"
    service apache2 stop
    gone apache2
    nothing_runs
    a2dissite -q --purge gangway
    rm /etc/apache2/sites-available/gangway.conf
}

serve_alone() {
    local host
    gangway-host --version
    gangway-host --check wsgi who:app root=/srv/who
    ! gangway-host --check wsgi who:none root=/srv/who >/dev/null 2>&1 || fail "gangway-host --check finds nothing wrong with an application that is not there"
    gangway-host --listen 127.0.0.1:9099 wsgi who:app root=/srv/who &
    host=$!
    for _ in $(seq 100); do
        (exec 3<>/dev/tcp/127.0.0.1/9099) 2>/dev/null && break
        sleep 0.1
    done
    kill -TERM "$host"
    wait "$host" || fail "gangway-host ended with status $?"
    nothing_runs
}

! has_nginx || serve_nginx
serve_httpd
serve_alone
