// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"sync"

	"fairlead/internal/nl"
)

// commits counts the transactions that a table has made. Each makes a new generation of the
// tables of its namespace.
type commits struct {
	mu sync.Mutex // no transaction is under way while it is held
	n  uint32     // wraps around
}

// transact is nl.Socket.Transact on the socket of the table.
func (c *commits) transact(socket *nl.Socket, m *nl.Messages, refused func(i int, err error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.Operations() == 0 {
		return nil
	}
	done := true
	err := socket.Transact(m, func(i int, err error) {
		done = false
		refused(i, err)
	})
	if err == nil && done {
		c.n++
	}
	return err
}

// others returns how many generations the transactions of others have made, from an unknown
// number on. It wraps around. generation returns the number of the last one.
func (c *commits) others(generation func() (uint32, error)) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, err := generation()
	return id - c.n, err
}
