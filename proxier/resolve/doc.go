// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package resolve turns slim objects into what the table and the overlay want. It is pure:
// no function does I/O, reads a clock or starts a goroutine.
//
//	endpoints of a port -> those that topology and policies choose -> claims of the Service
//	-> the contest decides who gets an address -> frontends
//
// A new field of a Service is read in convert and used in resolve.go, where the frontends
// are built. Settings that belong to no Service are in settings.go.
package resolve
