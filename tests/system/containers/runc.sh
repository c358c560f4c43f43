#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Containers of runc, by svadctl's hooks.
# shellcheck source=tests/system/containers/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/containers/bundle.sh
. "$(dirname "$0")/bundle.sh"
# shellcheck source=tests/system/containers/oci.sh
. "$(dirname "$0")/oci.sh"

oci_use runc
# without the reconciler: what is removed, the hooks have told of
svad_start "[containers]
reconcile = 0"
oci_scenarios
finish
