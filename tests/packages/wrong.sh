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

# An engine of another major version of the ABI, as somebody would copy it by hand; and apt takes no engine of another release.
wrong_engine() {
    local own engine=/usr/lib/gangway/gangway_python.so
    mv "$engine" /var/tmp/engine
    cp /tests/engine-of-another-abi.so "$engine"
    ! has_nginx || tells 'GW0203' nginx -t
    tells 'GW0203' apache2ctl configtest
    mv /var/tmp/engine "$engine"
    ! has_nginx || nginx -t
    apache2ctl configtest
    own=$(dpkg-query -W -f '${Version}' gangway-engine-python)
    # The package of one: apt takes it only instead of the modules, dpkg by itself does not configure it.
    tells 'need to be removed' apt-get install -y --allow-downgrades --no-remove /srv/apt-previous/gangway-engine-python_*.deb
    [[ $(dpkg-query -W -f '${Version}' gangway-engine-python) == "$own" ]] || fail "apt has taken an engine of another release"
    tells 'breaks gangway-engine-python' dpkg -i /srv/apt-previous/gangway-engine-python_*.deb
    apt-get install -y --fix-broken >/dev/null
    [[ $(dpkg-query -W -f '${Version} ${db:Status-Status}' gangway-engine-python) == "$own installed" ]] || fail "the engine is not as before"
    ! has_nginx || nginx -t
    apache2ctl configtest
}

# A module for a httpd with another number of its interface for modules: 20120211 is that of 2.4. And what is no module of httpd 2.4 at all.
other_httpd() {
    local module=/var/tmp/module-of-another-httpd.so
    for change in number cookie; do
        python3 - "$change" /usr/lib/apache2/modules/mod_gangway.so "$module" <<'PY'
import struct, sys
change, source, target = sys.argv[1:]
with open(source, "rb") as file:
    data = file.read()
# The beginning of the record: number, minor number, index, name, handle, next, cookie.
cookie = struct.pack("<Q", 0x41503234)
number = struct.pack("<i", 20120211)
places = [at for at in range(0, len(data) - 48, 8) if data[at + 40 : at + 48] == cookie and data[at : at + 4] == number]
assert len(places) == 1, places
at = places[0]
if change == "number":
    data = data[:at] + struct.pack("<i", 20260101) + data[at + 4 :]
else:
    data = data[: at + 40] + struct.pack("<Q", 0x41503232) + data[at + 48 :]
with open(target, "wb") as file:
    file.write(data)
PY
        printf 'Listen 127.0.0.1:8099\nLoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\nLoadModule gangway_module %s\n' "$module" >/var/tmp/httpd.conf
        case $change in
        number) tells 'is not compatible with this version of Apache' apache2 -t -f /var/tmp/httpd.conf ;;
        cookie) tells 'is garbled' apache2 -t -f /var/tmp/httpd.conf ;;
        esac
    done
    dpkg-query -W -f '${Depends}' libapache2-mod-gangway | grep -q 'apache2-api-20120211' || fail "apt does not know for which httpd the module is"
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
wrong_engine
other_httpd
half_configured
! has_nginx || other_nginx
