# SPDX-License-Identifier: MIT OR Apache-2.0
# As docs/install.md says, on the network of the machine.
. /tests/lib.sh
candidate() { apt-cache policy gangway | grep 'file:/srv/apt' >/dev/null || fail "apt does not know the archive"; }

block repository
candidate
# All that follows comes from the signed archive: the list says no "trusted" any more.
block signed
candidate
! grep -r trusted /etc/apt/sources.list.d/gangway.list || fail "the signature is not asked for"

# The same archive with one word changed after it was signed.
forged() {
    mkdir -p /var/tmp/forged/lists/partial
    cp -R /srv/apt/dists /var/tmp/forged/
    sed -i 's/^Origin: Gangway/Origin: Somebody/' /var/tmp/forged/dists/*/*Release
    sed 's|file:/srv/apt|file:/var/tmp/forged|' /etc/apt/sources.list.d/gangway.list >/var/tmp/forged.list
    ! apt-get update -o Dir::Etc::sourcelist=/var/tmp/forged.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=/var/tmp/forged/lists \
        >/var/tmp/block.log 2>&1 || fail "apt takes an archive that was changed after it was signed"
    said "is not signed"
    note "an archive that was changed is refused: $(grep -m1 'is not signed' /var/tmp/block.log)"
}
forged
block application
! has_nginx || block nginx-install
block httpd-install
apt-get install -y adduser
