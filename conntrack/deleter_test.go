// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/ti-mo/conntrack"

	"fairlead/internal/inet"
	"fairlead/internal/nl"
)

// silent is a connection whose answers never come.
type silent struct {
	connection
	closed chan struct{}
}

func (s *silent) Delete(conntrack.Flow) error {
	<-s.closed
	return net.ErrClosed
}

func (s *silent) Close() error {
	close(s.closed)
	return s.connection.Close()
}

// TestDeleteWithoutAnswer takes away the kernel's answer to a deletion, and then lets it answer.
func TestDeleteWithoutAnswer(t *testing.T) {
	f := newFlows(t)
	k, err := openTable(f.ns, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.close() }()
	f.add(t, inet.UDP, "10.0.0.1:1", "10.96.0.1:53", "10.96.0.1:53")
	flow := Flow{Client: ap("10.0.0.1:1"), Dialled: udp("10.96.0.1:53")}

	mute := &silent{k.deleter.conn, make(chan struct{})}
	k.deleter.conn, k.deleter.limit = mute, time.Millisecond
	if err := k.delete(flow); !errors.Is(err, nl.ErrLost) {
		t.Errorf("deletion without an answer: %v, want %v", err, nl.ErrLost)
	}
	select {
	case <-mute.closed:
	default:
		t.Error("the connection without an answer is open, and its deletion waits")
	}
	k.deleter.limit = deleteLimit
	if _, there, err := k.get(flow); err != nil || !there {
		t.Errorf("the flow is there: %v, %v", there, err)
	}
	if err := k.delete(flow); err != nil {
		t.Errorf("deletion after one without an answer: %v", err)
	}
	if _, there, err := k.get(flow); err != nil || there {
		t.Errorf("the flow is there after its deletion: %v, %v", there, err)
	}
}
