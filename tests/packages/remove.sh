# SPDX-License-Identifier: MIT OR Apache-2.0
# Removal leaves servers that start, and purging leaves nothing.
. /tests/lib.sh
run_folders
rm -f /etc/nginx/conf.d/blog.conf
a2disconf -q blog
mapfile -t packages < <(names | xargs -n1)
apt-get -q remove -y "${packages[@]}" >/dev/null
! has_nginx || nginx -t
apache2ctl configtest
apt-get -q install -y "${packages[@]}" >/dev/null
! has_nginx || nginx -t
apache2ctl configtest
if has_nginx; then block removal; else apt-get purge -y "${packages[@]}" >/dev/null; rm -f /etc/apache2/conf-available/blog.conf /etc/apt/sources.list.d/gangway.list /usr/share/keyrings/gangway.gpg; fi
! has_nginx || nginx -t
apache2ctl configtest
a2dismod -q proxy >/dev/null 2>&1 || true
deluser --quiet blog
left=$(listing | comm -13 /var/tmp/before - | grep -i gangway || true)
[[ -z $left ]] || fail "left after purge: $left"
diff <(cut -d: -f1 /etc/passwd) /var/tmp/users
diff <(cut -d: -f1 /etc/group) /var/tmp/groups
nothing_runs
note "nothing is left"
