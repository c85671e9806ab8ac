# SPDX-License-Identifier: MIT OR Apache-2.0
# As docs/install.md says, on the network of the machine.
. /tests/lib.sh
block repository
block application
! has_nginx || block nginx-install
block httpd-install
apt-get install -y adduser
