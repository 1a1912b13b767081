// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package report writes samples as Markdown, CSV and plots (SVG and PNG).
//
// A ratio above 1 is in favour of fairlead, and one below 1 in favour of the other.
package report
