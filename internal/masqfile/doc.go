// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package masqfile reads and follows the configuration file of ip-masq-agent,
// which says what pods reach with their own address:
//
//	nonMasqueradeCIDRs: [10.0.0.0/8, "fd00::/8"]
//	masqLinkLocal: false
//	masqLinkLocalIPv6: false
//	resyncInterval: 60s
//
// YAML and JSON are the same to it. The meaning is ip-masq-agent's, field by
// field: a field that is not in the file has that program's default. What differs
// is the case that there is no file. Then ip-masq-agent spares RFC 1918, while
// fairlead spares nothing but this cluster's pods (Absent): an address that
// nobody said is routable for pods must be taken for one that is not.
//
// Parse is pure. Watch calls back with what holds from now on; a file that does
// not parse changes nothing and is reported. Both are safe for concurrent use,
// but a callback is never called twice at a time.
package masqfile
