// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package flannel reads flannel's network configuration, net-conf.json: a file, or
// the key of that name in the ConfigMap kube-flannel-cfg, mounted.
//
//	{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan", "VNI": 1}}
//
// And it reads and writes the annotations of Nodes by which nodes with flannel know
// how to reach each other's pods, a Lease.
//
//	flannel.alpha.coreos.com/backend-data: {"VNI":1,"VtepMAC":"0a:5c:..."}
//	flannel.alpha.coreos.com/public-ip: 192.168.50.2
//
// What means nothing without flannel is returned as unused, by its name in the file,
// so that nothing is ignored in silence. Functions are safe for concurrent use.
package flannel
