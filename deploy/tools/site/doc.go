// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package site tests the site that Hugo makes of docs/ with deploy/site.
package site
