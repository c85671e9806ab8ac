# SPDX-License-Identifier: MIT OR Apache-2.0
# examples/hosting as its files say: three sites of three users, whose commands stand in the comment above each configuration.
. /tests/lib.sh
run_folders

# What the machine has fetched for this Python, as pip would from elsewhere.
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/tests/wheels

# The commands of a file, without the one that copies modules: they come from the packages.
recipe() { sed -n '/^[^#]/q; s/^#   //p' "$1" | grep -v ' dist/'; }

prepare() {
    note "$1: the commands of its comment"
    recipe "$1" >/var/tmp/recipe.sh
    (($(wc -l </var/tmp/recipe.sh) >= 5)) || fail "$1 has no commands"
    (cd /tests && bash -euo pipefail /var/tmp/recipe.sh >/var/tmp/block.log 2>&1) || { cat /var/tmp/block.log >&2; fail "the commands of $1 fail"; }
}

# page PATH: what the server answers, once it does.
page() {
    local found=
    for _ in $(seq 200); do
        found=$(curl -fsS "http://127.0.0.1:8080$1" 2>&1) && break
        sleep 0.1
    done
    printf '%s\n' "$found"
}

# site PATH USER: its pages come from a process of that user.
site() {
    local found process
    found=$(page "$1")
    process=$(sed -nE 's/.*in process ([0-9]+) of user ([0-9]+).*/\1 \2/p' <<<"$found")
    [[ ${process#* } == "$(id -u "$2")" ]] || { tail -n 20 /var/log/nginx/error.log /var/log/apache2/error.log >&2 || true; fail "$1 is not of user $2: $found"; }
    [[ $(stat -c %U "/proc/${process% *}") == "$2" ]] || fail "process ${process% *} does not belong to $2"
    note "$1: process ${process% *} of $2"
}

three_sites() {
    site /blog/ blog
    site /shop/ shop
    site /wiki/admin/ wiki
    curl -fsS http://127.0.0.1:8080/wiki/style.css >/dev/null || fail "a file of the wiki is not served"
    [[ $(page /gangway) == *blog.wsgi:application* ]] || fail "the status page does not know the blog"
    [[ $(gangway status) == *shop:app* ]] || fail "gangway status does not know the shop"
    # One site cannot read another one's data.
    ! su -s /bin/sh shop -c 'cat /srv/wiki/data/*' >/dev/null 2>&1 || fail "the shop reads the data of the wiki"
    su -s /bin/sh shop -c 'gangway restart shop:app' || fail "the owner of the shop cannot restart it"
    ! su -s /bin/sh shop -c 'gangway restart blog.wsgi:application' 2>/dev/null || fail "the owner of the shop restarts the blog"
    site /shop/ shop
}

forget() {
    rm -rf /srv/blog /srv/shop /srv/wiki
    for user in blog shop wiki; do userdel "$user"; done
}

on_nginx() {
    prepare /tests/examples/hosting/nginx.conf
    cp -a /etc/nginx/nginx.conf /var/tmp/nginx.conf
    cp /tests/examples/hosting/nginx.conf /etc/nginx/nginx.conf
    nginx -t
    nginx
    three_sites
    nginx -s reload
    three_sites
    nginx -s quit
    gone nginx
    nothing_runs
    mv /var/tmp/nginx.conf /etc/nginx/nginx.conf
    forget
}

on_httpd() {
    prepare /tests/examples/hosting/httpd.conf
    # "The line that loads gangway_module and what follows are all that an existing /etc/apache2 needs."
    sed -n '/^LoadModule gangway_module/,$p' /tests/examples/hosting/httpd.conf >/etc/apache2/conf-available/hosting.conf
    a2enconf -q hosting
    apache2ctl configtest
    service apache2 start
    three_sites
    service apache2 reload
    three_sites
    service apache2 stop
    gone apache2
    nothing_runs
    a2disconf -q hosting
    rm /etc/apache2/conf-available/hosting.conf
    forget
}

# Applications in processes of their own need the program that runs them.
apt-get install -y gangway >/dev/null
mv /srv/blog /var/tmp/blog
! has_nginx || on_nginx
on_httpd
mv /var/tmp/blog /srv/blog
