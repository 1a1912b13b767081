// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package masqfile reads and follows the configuration file of ip-masq-agent, which
// lists the destinations that pods reach with their own address:
//
//	nonMasqueradeCIDRs: [10.0.0.0/8, "fd00::/8"]
//	masqLinkLocal: false
//	masqLinkLocalIPv6: false
//	resyncInterval: 60s
//
// It accepts YAML and JSON. Each field means the same as for ip-masq-agent, and a
// missing field has that program's default. A missing file has a different meaning:
// ip-masq-agent then spares RFC 1918, while fairlead spares only this cluster's pods
// (Absent), because an address must count as unroutable for pods until the
// configuration names it.
//
// Parse is pure. Watch calls back with each new State. A file that does not parse is
// reported and changes no setting. Both are safe for concurrent use, and each Watch
// makes one callback at a time.
package masqfile
