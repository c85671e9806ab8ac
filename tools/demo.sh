#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# demo.sh SERVER PORT: examples/flask in Debian's own nginx or httpd, in the foreground, until Ctrl-C.
. "$(dirname "$0")/lib.sh"

SERVER=$1
PORT=$2
EXAMPLE=examples/flask
NGINX=${GANGWAY_NGINX:-/usr/sbin/nginx}
HTTPD=${GANGWAY_APACHE:-/usr/sbin/apache2}
# Nobody's application runs as root; httpd refuses to.
WORKER=$([[ $EUID -ne 0 ]] || echo www-data)

check_arguments() {
    case $SERVER in
    nginx | apache) ;;
    *) die "SERVER=$SERVER is not known: make demo SERVER=nginx or make demo SERVER=apache" ;;
    esac
    [[ $PORT =~ ^0*[1-9][0-9]{0,4}$ && 10#$PORT -lt 65536 ]] ||
        die "PORT=$PORT is not a port: take a number from 1 to 65535, for example make demo PORT=8081"
    local reason
    reason=$(/usr/bin/python3 - "$PORT" <<'PYTHON'
import socket, sys
probe = socket.socket()
probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    probe.bind(("127.0.0.1", int(sys.argv[1])))
    probe.listen()
except OSError as error:
    print(error.strerror.lower())
PYTHON
    )
    [[ -z $reason ]] || die "port $PORT cannot be used ($reason): choose another, for example make demo PORT=$((PORT % 65535 + 1))"
}

worker_can_read() { [[ -z $WORKER ]] || setpriv --reuid="$WORKER" --regid="$WORKER" --clear-groups test -r "$1"; }

# Where the workers find modules, application and virtual environment: in the checkout, or in a copy of them when
# the workers' user may not enter it (a clone below /root) or its name needs quoting in a configuration.
choose_folders() {
    APP=$ROOT/$EXAMPLE MODULES=$ROOT/dist DEMO=$BUILD/demo/$SERVER VENV=$BUILD/demo/venv
    rm -rf "$DEMO"
    if [[ $ROOT != *[^A-Za-z0-9/._+-]* ]] && worker_can_read "$ROOT/$EXAMPLE/app.py"; then
        mkdir -p "$DEMO"
    else
        SCRATCH=$(mktemp -d /tmp/gangway-demo.XXXXXX)
        chmod 755 "$SCRATCH"
        cp -R "$EXAMPLE" "$SCRATCH/flask"
        cp -R dist "$SCRATCH/dist"
        APP=$SCRATCH/flask MODULES=$SCRATCH/dist DEMO=$SCRATCH/$SERVER VENV=$SCRATCH/venv
        mkdir "$DEMO"
        say "$SERVER's workers (${WORKER:-$(id -un)}) cannot use $ROOT itself: this demo runs from a copy in $SCRATCH"
    fi
}

# The example itself, with the places of this machine instead of /srv/flask and Debian's module folders.
localize() {
    sed -e "s|/srv/flask/.venv|$VENV|g" -e "s|/srv/flask|$APP|g" -e "s|127.0.0.1:8080|127.0.0.1:$PORT|" \
        -e "s|/usr/lib/[a-z0-9]*/modules/\([a-z_]*gangway[a-z_]*.so\)|$MODULES/\1|" -e '/^#/d' "$1"
}

nginx_command() {
    CONFIG=$DEMO/nginx.conf
    localize "$EXAMPLE/nginx.conf" | sed "s|^http {|http {\n    include $DEMO/scratch.conf;|" >"$CONFIG"
    printf '%s_temp_path %s/tmp;\n' client_body "$DEMO" proxy "$DEMO" fastcgi "$DEMO" scgi "$DEMO" uwsgi "$DEMO" >"$DEMO/scratch.conf"
    printf 'access_log %s/access.log;\n' "$DEMO" >>"$DEMO/scratch.conf"
    COMMAND=("$NGINX" -p "$DEMO" -e stderr -c "$CONFIG" -g
        "daemon off; pid $DEMO/nginx.pid; error_log stderr notice;${WORKER:+ user $WORKER $WORKER;}")
    CHECK=("${COMMAND[@]}" -t)
}

apache_command() {
    CONFIG=$DEMO/httpd.conf
    localize "$EXAMPLE/httpd.conf" >"$CONFIG"
    COMMAND=("$HTTPD" -d "$DEMO" -C "DefaultRuntimeDir $DEMO" -C "PidFile $DEMO/httpd.pid"
        -C "ErrorLog /dev/stderr" -C "LogLevel notice" -f "$CONFIG" -DFOREGROUND)
    [[ -z $WORKER ]] || COMMAND+=(-C "User $WORKER" -C "Group $WORKER")
    CHECK=("${COMMAND[@]}" -t)
}

stop_server() {
    trap '' INT TERM HUP
    if [[ -n ${PID:-} ]] && kill -TERM "$PID" 2>/dev/null; then
        wait "$PID" || true
        say "stopped"
    fi
    [[ -z ${SCRATCH:-} ]] || rm -rf "$SCRATCH"
}

wait_until_listening() {
    until /usr/bin/python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1)' "$PORT" 2>/dev/null; do
        kill -0 "$PID" 2>/dev/null || die "$SERVER ended; its messages stand above"
    done
}

announce() {
    cat <<TEXT

Flask runs inside $("${COMMAND[0]}" -v 2>&1 | sed -n '1s/.*: *//p')
  facts, form, stream, upload:  http://127.0.0.1:$PORT/
                                http://127.0.0.1:$PORT/form
                                http://127.0.0.1:$PORT/stream   (curl -N)
                                http://127.0.0.1:$PORT/upload
  configuration:                $CONFIG
$(sed 's/^/    | /' "$CONFIG")
  application:                  $APP/app.py
Ctrl-C stops it. The error log follows.

TEXT
}

check_arguments
trap stop_server EXIT
trap 'exit 0' INT TERM HUP
choose_folders
tools/venv.sh "$VENV" "$EXAMPLE/requirements.txt"
"${SERVER}_command"
"${CHECK[@]}" >"$DEMO/check.log" 2>&1 || die "$SERVER refuses the configuration $CONFIG:"$'\n'"$(cat "$DEMO/check.log")"
# Standard error becomes a pipe, which both servers can open by name whatever ours is.
exec 8> >(trap '' INT TERM HUP && exec cat >&2)
# In a session of its own Ctrl-C and a resized terminal (httpd stops on SIGWINCH) reach this script alone; should the
# script be killed, the server gets a signal too.
setsid setpriv --pdeathsig TERM "${COMMAND[@]}" </dev/null 2>&8 8>&- &
PID=$!
exec 8>&-
wait_until_listening
announce
wait "$PID" || die "$SERVER ended with $?; its messages stand above"
