// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package keeper keeps the kernel of one network namespace as package overlay plans
// it.
//
//	Keeper.Set ──► worker ──► round ──► pass ──► overlay.Planner ──► steps
//	                 ▲                                                 │
//	  kernel.Watch ──┘ surprising events          writer ◄─────────────┘
//	                                                │
//	                              kernel.Conn ◄─────┘ 100 requests at once
//
// A pass without a surprise costs what changed. After a surprise, an error or a minute
// the Keeper reads the kernel and compares everything.
package keeper
