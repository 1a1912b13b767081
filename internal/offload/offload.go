// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package offload reads and switches what network devices do in the place of the
// kernel: the checksums of packets that they send. Some devices and drivers write wrong
// checksums into tunnelled packets (flannel-io/flannel#1279, #2152), which receivers drop
// without a word. It uses the generic netlink family "ethtool" (kernel 5.7).
package offload

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nl"
)

// ErrUnsupported means that the kernel has no ethtool over netlink (before 5.7).
var ErrUnsupported = errors.New("the kernel cannot say or change it over netlink: use ethtool -K DEVICE tx off")

// Messages and attributes of ethtool_netlink.h that x/sys lacks.
const (
	netlinkGeneric = 16

	headerName  = 2 // ETHTOOL_A_HEADER_DEV_NAME
	attrHeader  = 1 // ETHTOOL_A_FEATURES_HEADER
	attrHW      = 2
	attrWanted  = 3
	attrActive  = 4
	bitsetBits  = 3 // ETHTOOL_A_BITSET_BITS
	bitsetBit   = 1 // ETHTOOL_A_BITSET_BITS_BIT
	bitName     = 2 // ETHTOOL_A_BITSET_BIT_NAME
	featuresGet = 11
	featuresSet = 12
	headerLen   = 4 // struct genlmsghdr
)

// Checksums returns the features by which a device writes checksums of packets that it
// sends.
func Checksums() []string {
	return []string{"tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-checksum-ipv6"}
}

// State says for a device which of Checksums it can switch, and which are on.
type State struct{ Can, On []string }

// conn talks to the family.
type conn struct {
	socket *nl.Socket
	family uint16
}

func dial(ns *netns.NS) (*conn, error) {
	s, err := nl.Dial(nl.Config{Protocol: netlinkGeneric, Namespace: ns})
	if err != nil {
		return nil, err
	}
	c := &conn{socket: s}
	var m nl.Messages
	m.Begin(unix.GENL_ID_CTRL, 0, unix.CTRL_CMD_GETFAMILY, 1, 0, 0)
	m.String(unix.CTRL_ATTR_FAMILY_NAME, "ethtool")
	err = s.Get(&m, func(r nl.Reply) {
		c.family = nl.U16(nl.Attr(r.Body[min(headerLen, len(r.Body)):], unix.CTRL_ATTR_FAMILY_ID))
	})
	if errors.Is(err, unix.ENOENT) {
		err = ErrUnsupported
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("look for ethtool: %w", err), s.Close())
	}
	return c, nil
}

// Read returns the state of a device in a network namespace, nil for that of the process.
func Read(ns *netns.NS, device string) (State, error) {
	c, err := dial(ns)
	if err != nil {
		return State{}, err
	}
	defer func() { _ = c.socket.Close() }()
	return c.read(device)
}

func (c *conn) read(device string) (State, error) {
	var m nl.Messages
	m.Begin(c.family, 0, featuresGet, 1, 0, 0)
	m.Nest(attrHeader, func() { m.String(headerName, device) })
	var s State
	err := c.socket.Get(&m, func(r nl.Reply) {
		body := r.Body[min(headerLen, len(r.Body)):]
		s = State{Can: checksums(nl.Attr(body, attrHW)), On: checksums(nl.Attr(body, attrActive))}
	})
	if err != nil {
		return State{}, fmt.Errorf("read offloads of %s: %w", device, err)
	}
	return s, nil
}

// checksums returns those of Checksums that are in a bitset.
func checksums(bitset []byte) []string {
	var out []string
	for kind, bit := range nl.Attrs(nl.Attr(bitset, bitsetBits)) {
		if name := nl.String(nl.Attr(bit, bitName)); kind == bitsetBit && slices.Contains(Checksums(), name) {
			out = append(out, name)
		}
	}
	return out
}

// Disable makes the kernel write the checksums of packets that a device sends. It returns
// whether it changed anything. A device may refuse; then it returns an error.
func Disable(ns *netns.NS, device string) (changed bool, err error) {
	c, err := dial(ns)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.socket.Close()) }()
	before, err := c.read(device)
	if err != nil || len(before.On) == 0 {
		return false, err
	}
	var m nl.Messages
	m.Begin(c.family, 0, featuresSet, 1, 0, 0)
	m.Nest(attrHeader, func() { m.String(headerName, device) })
	m.Nest(attrWanted, func() {
		m.Nest(bitsetBits, func() {
			for _, name := range before.On {
				m.Nest(bitsetBit, func() { m.String(bitName, name) }) // without a value: off
			}
		})
	})
	m.Ack()
	if err := c.socket.Get(&m, func(nl.Reply) {}); err != nil {
		return false, fmt.Errorf("switch off checksums of %s: %w", device, err)
	}
	after, err := c.read(device)
	if err != nil {
		return false, err
	}
	if len(after.On) > 0 {
		return len(after.On) < len(before.On), fmt.Errorf("switch off checksums of %s: the device keeps %v", device, after.On)
	}
	return true, nil
}
