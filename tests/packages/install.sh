# SPDX-License-Identifier: MIT OR Apache-2.0
# As docs/install.md says.
set -euo pipefail
apt-get -q install -y libnginx-mod-http-gangway libapache2-mod-gangway gangway-engine-python gangway
a2enmod -q proxy proxy_gangway mpm_event
