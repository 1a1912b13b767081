// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package wire shortens objects in protobuf to the fields that convert reads, before they
// are decoded. Most bytes of an object say who wrote which field and where pods come from,
// and to decode these takes most of the memory of a first list.
package wire
