// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package page draws the status page of an agent. It does no I/O beyond the writer that
// it is given.
//
// The page is one HTML document of bounded size, with plots as SVG. It needs no script:
// the script only replaces the parts of the document by newer ones. Names and texts come
// from objects that tenants write, so package html escapes each of them, and Policy
// forbids the browser to run or load anything but the two assets.
package page
