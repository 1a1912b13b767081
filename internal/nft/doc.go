// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package nft writes and reads nf_tables messages: tables, sets, chains, rules
// and elements as bytes. It does no I/O; package nl sends and receives.
//
// Expressions are those of google/nftables, which encodes and decodes them.
// Messages are ours, because the Conn of that library (v0.3.0) sends a
// transaction of its own, reports one error for all of it, and cannot say the
// user data of a set or the counter of an element. Expressions that the library
// lacks are in this package.
package nft
