// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package oom makes the kernel end a process for want of memory. The process is in a
// memory control group with a limit, where another process takes what is left.
package oom
