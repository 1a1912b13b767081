// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package compare measures fairlead beside kube-proxy in one run: the same API
// server, the same objects, the same kernel, one after the other on nodes of
// their own.
//
//	outside: etcd, API server           node-1: fairlead, then
//	                                    node-2: kube-proxy, mode nftables
//	node-N: client ── VIP ── left, right (two servers that take the Service
//	                                    "probe" in turn)
//
// All endpoints of all Services are real: one pod answers at each of their
// addresses. An update writes the EndpointSlice of "probe", so that its only
// endpoint is the other server; the clock runs from just before the request
// until a connection to the VIP is first answered by it.
//
// kube-proxy needs root for more than some hundred Services: in a user namespace
// nft may not send batches of the size that it makes (EMSGSIZE).
//
// "make compare" runs it; SERVICES, BACKENDS and UPDATES say how large. Without
// flags the test is a small one that says whether all this still works.
package compare
