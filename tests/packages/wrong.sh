# SPDX-License-Identifier: MIT OR Apache-2.0
# What is half there, or not what belongs together: one line that says so, and servers that start wherever that is possible.
. /tests/lib.sh
run_folders
pool=/srv/apt/pool
# One line with these words, on one of the two outputs.
tells() {
    local words=$1
    shift
    ! "$@" >/var/tmp/block.log 2>&1 || { cat /var/tmp/block.log; fail "$* did not fail"; }
    said "$words"
    note "$(grep -F -- "$words" /var/tmp/block.log | head -n 1)"
}

no_engine() {
    dpkg --purge gangway-engine-python >/dev/null
    ! has_nginx || tells 'GW0201 no engine in' nginx -t
    tells 'GW0201 no engine in' apache2ctl configtest
    apt-get install -y gangway-engine-python >/dev/null
    ! has_nginx || nginx -t
    apache2ctl configtest
}

# Unpacked and not configured: what was enabled stays, and nothing new is.
half_configured() {
    local file
    for name in $(names); do
        file=$(find "$pool" -name "${name}_$(dpkg-query -W -f '${Version}' "$name")_*.deb")
        dpkg --unpack "$file" >/dev/null
    done
    ! has_nginx || nginx -t
    apache2ctl configtest
    dpkg --configure -a >/dev/null
    for name in $(names); do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$name") == installed ]] || fail "$name is not configured"
    done
}

# The module of another release, as somebody would copy it by hand.
other_nginx() {
    local own other
    own=$(dpkg-query -W -f '${Version}' libnginx-mod-http-gangway)
    other=$(find "$pool" -name 'libnginx-mod-http-gangway_*.deb' ! -name "*_${own}_*" | head -n 1)
    [[ -n $other ]] || { note "there is no module for another nginx in the archive: not tried"; return 0; }
    tells "breaks nginx" dpkg -i "$other"
    nginx -t
    mkdir -p /var/tmp/module
    dpkg-deb -x "$other" /var/tmp/module
    sed 's|modules/ngx_http|/var/tmp/module/usr/lib/nginx/modules/ngx_http|' /usr/share/nginx/modules-available/mod-http-gangway.conf >/var/tmp/load.conf
    printf 'include /var/tmp/load.conf;\nevents {}\nhttp {}\n' >/var/tmp/nginx.conf
    tells 'ngx_http_gangway_module.so' nginx -t -c /var/tmp/nginx.conf
    apt-get install -y --fix-broken --allow-downgrades "libnginx-mod-http-gangway=$own" >/dev/null
    nginx -t
}

no_engine
half_configured
! has_nginx || other_nginx
