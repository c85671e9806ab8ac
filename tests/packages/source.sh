# SPDX-License-Identifier: MIT OR Apache-2.0
# What docs/install.md says of the source, in a Debian that has nothing but Rust and make; then the two sites of the page.
. /tests/lib.sh
run_folders
apt-get -q update >/dev/null
apt-get -q install -y --no-install-recommends make procps >/dev/null
block application
cd /srv/gangway
block source
# Services are not started by their installation in here.
service nginx start
block nginx-site
said "hello from Flask"
service apache2 start
block httpd-site
said "hello from Flask"
service nginx stop
service apache2 stop
gone nginx
gone apache2
nothing_runs
block modules
grep -qa 'nginx 1.28.3, signature' /var/tmp/block.log || fail "make modules does not say which signature the module has"
[[ -s /usr/lib/nginx/modules/ngx_http_gangway_module.so ]] || fail "there is no module"
