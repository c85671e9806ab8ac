# SPDX-License-Identifier: MIT OR Apache-2.0
# What is half there, or not what belongs together: one line that says so, and servers that start wherever that is possible.
. /tests/lib.sh
run_folders
pool=/srv/apt/pool
declare -A versions
for name in $(names); do versions[$name]=$(dpkg-query -W -f '${Version}' "$name"); done
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
    serves
}

# The package with the program that runs applications in processes of their own, as the site of nginx has one.
no_host() {
    dpkg --purge gangway >/dev/null
    tells 'GW0109 processes= and user= need the program gangway-host' nginx -t
    apt-get install -y gangway >/dev/null
    serves
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
    dpkg-query -W -f '${Depends}' libapache2-mod-gangway | grep 'apache2-api-20120211' >/dev/null || fail "apt does not know for which httpd the module is"
    apache2ctl configtest
}

# Both servers start with what there is, answer, and end.
serves() {
    if has_nginx; then
        nginx -t
        service nginx start >/dev/null
        ask http://127.0.0.1:8080/ "hello from Flask"
        service nginx stop >/dev/null
        gone nginx
    fi
    apache2ctl configtest
    service apache2 start >/dev/null
    ask http://127.0.0.1:8081/ "hello from Flask"
    service apache2 stop >/dev/null
    gone apache2
}

files() { for name in $(names); do find "$pool" -name "${name}_${versions[$name]}_*.deb"; done; }

# As apt has dpkg do it: a package whose partner is of another version is there, but not configured.
put() { dpkg --auto-deconfigure "$@" >/var/tmp/block.log 2>&1 || { cat /var/tmp/block.log >&2; fail "dpkg $1 fails"; }; }

all_are() {
    for name in $(names); do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$name") == "$1" ]] || fail "$name is not $1, but $(dpkg-query -W -f '${db:Status-Status}' "$name")"
    done
}

# Unpacked and not configured: what was enabled stays, and nothing new is. dpkg itself says which packages these are.
half_configured() {
    for file in $(files); do dpkg --unpack "$file" >/dev/null; done
    all_are unpacked
    dpkg --audit >/var/tmp/block.log
    for name in $(names); do said "$name"; done
    serves
    dpkg --configure -a >/dev/null
    all_are installed
}

# An upgrade that has ended in its midst, between unpacking and configuring, once for each package that is the last one that was unpacked.
half_upgraded() {
    local count
    mapfile -t upgrades < <(files)
    for count in $(seq "${#upgrades[@]}"); do
        put -i /srv/apt-previous/*.deb
        all_are installed
        put --unpack "${upgrades[@]:0:count}"
        serves
        apt-get install -y --fix-broken >/dev/null
        put -i "${upgrades[@]}"
        all_are installed
    done
    note "an upgrade that has ended in its midst leaves servers that start"
}

# A module with another version of nginx, or another signature, in each of its records. Once more as a package, which says so.
module_of_another_nginx() {
    python3 - "$1" /usr/lib/nginx/modules/ngx_http_gangway_module.so "$2" "$(nginx -v 2>&1 | sed 's|.*nginx/\([0-9.]*\).*|\1|')" <<'PY'
import re, struct, sys
change, source, target, version = sys.argv[1:]
with open(source, "rb") as file:
    data = file.read()
if change == "version":
    major, minor, patch = map(int, version.split("."))
    # Two numbers that are not given yet, a name and two spare places that are none, and the version.
    head = b"\xff" * 16 + bytes(24)
    record = head + struct.pack("<Q", major * 1000000 + minor * 1000 + patch)
    assert record in data
    data = data.replace(record, head + struct.pack("<Q", 9009009))
else:
    signatures = set(re.findall(rb"[48],[48],[48],[01]{34}", data))
    assert len(signatures) == 1, signatures
    signature = signatures.pop()
    data = data.replace(signature, signature[:-1] + (b"0" if signature.endswith(b"1") else b"1"))
with open(target, "wb") as file:
    file.write(data)
PY
}

# As somebody would copy it by hand, and what apt and dpkg say of its package.
other_nginx() {
    local own folder=/var/tmp/module tree=/var/tmp/other-module
    own=$(dpkg-query -W -f '${Version}' libnginx-mod-http-gangway)
    mkdir -p "$folder"
    printf 'load_module %s/module.so;\nevents {}\nhttp {}\n' "$folder" >/var/tmp/nginx.conf
    module_of_another_nginx version "$folder/module.so"
    tells 'version 9009009 instead of' nginx -t -c /var/tmp/nginx.conf
    module_of_another_nginx signature "$folder/module.so"
    tells 'is not binary compatible' nginx -t -c /var/tmp/nginx.conf
    dpkg-deb -R "$(find "$pool" -name "libnginx-mod-http-gangway_${own}_*.deb")" "$tree"
    sed -i -e 's/^Version: .*/&+other/' -e 's/nginx-abi-[0-9.-]*/nginx-abi-9.9.9-1/' -e 's/nginx (<< [^)]*)/nginx (<< 9.9.9)/' -e 's/nginx (>> [^)]*)/nginx (>> 9.9.9.~)/' "$tree/DEBIAN/control"
    grep -q 'nginx-abi-9.9.9-1' "$tree/DEBIAN/control" || fail "the package of the module depends on no ABI of nginx"
    dpkg-deb -b "$tree" /var/tmp/other-module.deb >/dev/null
    tells 'nginx-abi-9.9.9-1' apt-get install -y --no-remove /var/tmp/other-module.deb
    tells 'breaks nginx' dpkg -i /var/tmp/other-module.deb
    [[ $(dpkg-query -W -f '${db:Status-Status}' libnginx-mod-http-gangway) == installed ]] || fail "the module is half installed"
    serves
}

# The module that was built for another Debian, where the archive has one.
module_of_another_release() {
    local own other
    own=$(dpkg-query -W -f '${Version}' libnginx-mod-http-gangway)
    other=$(find "$pool" -name 'libnginx-mod-http-gangway_*.deb' ! -name "*_${own}_*" | head -n 1)
    [[ -n $other ]] || { note "there is no module of another release in the archive: not tried"; return 0; }
    tells "breaks nginx" dpkg -i "$other"
    nginx -t
    mkdir -p /var/tmp/release
    dpkg-deb -x "$other" /var/tmp/release
    printf 'load_module /var/tmp/release/usr/lib/nginx/modules/ngx_http_gangway_module.so;\nevents {}\nhttp {}\n' >/var/tmp/nginx.conf
    tells 'ngx_http_gangway_module.so' nginx -t -c /var/tmp/nginx.conf
    grep -qE 'version [0-9]+ instead of [0-9]+|undefined symbol: ngx_' /var/tmp/block.log || fail "nginx says something else"
    apt-get install -y --fix-broken --allow-downgrades "libnginx-mod-http-gangway=$own" >/dev/null
    nginx -t
}

no_engine
! has_nginx || no_host
wrong_engine
other_httpd
half_configured
half_upgraded
! has_nginx || other_nginx
! has_nginx || module_of_another_release
