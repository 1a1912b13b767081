// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package rig is the cluster that measurements run in: real etcd and API server on the
// host outside, and a seat for each subject, which is a node of the lab with its pods.
//
//	outside: etcd, API server          one seat per subject
//	seat:    client ── VIP ── left, right, many
//
// All endpoints of all Services are real. One pod, many, answers at each of their
// addresses. The Service "probe" has one endpoint, and an update moves it between left
// and right. Each answer names the server, so that a sample can check it.
//
// Services are written into etcd past the API server (controlplane.Store), because it
// needs minutes for ten thousand of them. Updates that are measured go through it.
package rig
