# SPDX-License-Identifier: MIT OR Apache-2.0
# Removal leaves servers that start, and purging leaves nothing.
. /tests/lib.sh
run_folders

# Both servers run, with an application in a process of another user, and the scripts of the packages may act on them.
printf '#!/bin/sh\nexit 0\n' >/usr/sbin/policy-rc.d
serve_everywhere() {
    sed -i 's|blog:app root=/srv/blog$|& user=blog processes=1|' /etc/apache2/conf-available/blog.conf
    service apache2 start
    ask http://127.0.0.1:8081/ "hello from Flask"
    ! has_nginx || service nginx start
    ! has_nginx || ask http://127.0.0.1:8080/ "hello from Flask"
    pgrep -u blog >/dev/null || fail "no process belongs to the user of the application"
    for name in guard spawn super host; do
        ours | grep "gangway-$name" >/dev/null || fail "gangway-$name does not run, or is called otherwise: $(ps -eo comm=,args=)"
    done
}

# Neither server has ended, and neither has a process of ours any more.
still_serving() {
    pgrep -x apache2 >/dev/null || fail "httpd has ended"
    ! has_nginx || pgrep -x nginx >/dev/null || fail "nginx has ended"
    nothing_runs
    ! pgrep -u blog || fail "a process of the application is left"
}

serve_everywhere
rm -f /etc/nginx/conf.d/blog.conf
a2disconf -q blog
mapfile -t packages < <(names | xargs -n1)
apt-get -q remove -y "${packages[@]}" >/dev/null
! has_nginx || nginx -t
apache2ctl configtest
still_serving
apt-get -q install -y "${packages[@]}" >/dev/null
! has_nginx || nginx -t
apache2ctl configtest
if has_nginx; then block removal; else apt-get purge -y "${packages[@]}" >/dev/null; rm -f /etc/apache2/conf-available/blog.conf /etc/apt/sources.list.d/gangway.list /usr/share/keyrings/gangway.gpg; fi
! has_nginx || nginx -t
apache2ctl configtest
still_serving
for service in apache2 nginx; do
    [[ ! -e /etc/init.d/$service ]] || service "$service" stop
    gone "$service"
done
a2dismod -q proxy >/dev/null 2>&1 || true
deluser --quiet blog
left=$(listing | comm -13 /var/tmp/before - | grep -i gangway || true)
left+=$(find /run /dev/shm -iname '*gangway*')
[[ -z $left ]] || fail "left after purge: $left"
diff <(cut -d: -f1 /etc/passwd) /var/tmp/users
diff <(cut -d: -f1 /etc/group) /var/tmp/groups
nothing_runs
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
note "nothing is left"
