// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// Filter is a filter of traffic control, or a program of XDP, at a device. It sees packets
// before the packet filter when they arrive, and behind it when they leave.
type Filter struct {
	Device, Hook string // "ingress", "egress", "xdp"
	Kind         string // "u32", "flower", "bpf"
	Pref         uint16
	Program      string // of BPF
	// Takes says what the filter does with the packets that it matches, if no packet gets
	// past it: "drops them", "sends them to eth1"; "" if they may pass.
	Takes string
}

// String names the filter as tc does.
func (f *Filter) String() string {
	if f.Hook == "xdp" {
		return fmt.Sprintf("XDP program %s on %s", f.Program, f.Device)
	}
	text := fmt.Sprintf("tc filter %s pref %d at %s of %s", f.Kind, f.Pref, f.Hook, f.Device)
	if f.Program != "" {
		text += " (program " + f.Program + ")"
	}
	return text
}

// ReadFilters returns the filters at some devices of the current network namespace. Programs
// that were attached with a link of BPF (tcx, kernel 6.6) are not among them.
func ReadFilters(devices []string) ([]Filter, error) {
	var out []Filter
	for _, name := range devices {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return nil, fmt.Errorf("read device %s: %w", name, err)
		}
		if x := link.Attrs().Xdp; x != nil && x.Attached {
			out = append(out, Filter{Device: name, Hook: "xdp", Kind: "bpf", Program: fmt.Sprint(x.ProgId)})
		}
		list, err := filtersOf(link)
		if err != nil {
			return nil, fmt.Errorf("list filters of device %s: %w", name, err)
		}
		out = append(out, list...)
	}
	return out, nil
}

func filtersOf(link netlink.Link) ([]Filter, error) {
	disciplines, err := netlink.QdiscList(link)
	if err != nil {
		return nil, fmt.Errorf("list queueing disciplines: %w", err)
	}
	var out []Filter
	add := func(hook string, parent uint32) error {
		list, err := netlink.FilterList(link, parent)
		for _, f := range list {
			out = append(out, newFilter(link.Attrs().Name, hook, f))
		}
		return err
	}
	for _, q := range disciplines {
		switch q.Type() {
		case "ingress":
			err = errors.Join(err, add("ingress", netlink.HANDLE_MIN_INGRESS))
		case "clsact":
			err = errors.Join(err, add("ingress", netlink.HANDLE_MIN_INGRESS), add("egress", netlink.HANDLE_MIN_EGRESS))
		}
	}
	return out, err
}

func newFilter(device, hook string, f netlink.Filter) Filter {
	out := Filter{Device: device, Hook: hook, Kind: f.Type(), Pref: f.Attrs().Priority}
	var actions []netlink.Action
	switch f := f.(type) {
	case *netlink.BpfFilter:
		out.Program = f.Name
	case *netlink.U32:
		actions = f.Actions
	case *netlink.Flower:
		actions = f.Actions
	case *netlink.MatchAll:
		actions = f.Actions
	case *netlink.FwFilter:
		actions = f.Actions
	}
	for _, a := range actions {
		if out.Takes = takes(a); out.Takes != "" {
			break
		}
	}
	return out
}

// takes says what an action does with packets that get no further.
func takes(a netlink.Action) string {
	if m, ok := a.(*netlink.MirredAction); ok {
		if m.MirredAction != netlink.TCA_EGRESS_REDIR && m.MirredAction != netlink.TCA_INGRESS_REDIR {
			return ""
		}
		to, err := netlink.LinkByIndex(m.Ifindex)
		if err != nil {
			return fmt.Sprintf("sends them to the device with index %d", m.Ifindex)
		}
		return "sends them to device " + to.Attrs().Name
	}
	if a.Attrs().Action == netlink.TC_ACT_SHOT {
		return "drops them"
	}
	return ""
}
