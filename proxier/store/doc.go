// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package store is the edge between the sources of objects and the loop: sources put slim
// objects in, the loop takes the keys of those that changed.
package store
