// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// DefaultRoot is the directory where the kernel shows its settings.
const DefaultRoot = "/proc/sys"

// Tree is a place where the kernel shows its settings. In a container
// DefaultRoot may be read-only while the node's is mounted elsewhere.
type Tree struct{ Root string }

// Read returns the content of a file. The error leaves out the path.
func (t Tree) Read(path string) (string, error) {
	text, err := os.ReadFile(filepath.Join(t.Root, path))
	return string(text), pathless(err)
}

// Apply writes the settings that have a wrong value, unless they are for reporting
// only. It returns the settings that it wrote, with their earlier values, and those
// that still have a wrong value.
func (t Tree) Apply(needed []Setting) (set, left []Finding) {
	for _, f := range Check(needed, t.Read) {
		if f.Report || f.Err != nil {
			left = append(left, f)
			continue
		}
		if f.Err = t.write(f.Setting); f.Err != nil {
			left = append(left, f)
			continue
		}
		set = append(set, f)
	}
	return set, left
}

// write makes no files, because the tree may be mounted at the wrong place.
func (t Tree) write(s Setting) error {
	file, err := os.OpenFile(filepath.Join(t.Root, s.Path), os.O_WRONLY, 0)
	if err != nil {
		return pathless(err)
	}
	_, err = file.WriteString(s.Want)
	return errors.Join(pathless(err), file.Close())
}

func pathless(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// RouterAdvertised returns the devices that have an IPv6 default route from a
// router's advertisement, in the namespace with that descriptor, 0 for the
// current one. Where a daemon such as systemd-networkd listens to routers in
// the kernel's place the device's accept_ra is 0, which Needed accepts.
func RouterAdvertised(ns int) ([]string, error) {
	at := vnetns.None()
	if ns != 0 {
		at = vnetns.NsHandle(ns)
	}
	h, err := netlink.NewHandleAt(at, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("look for routers' routes: %w", err)
	}
	defer h.Close()
	routes, err := h.RouteListFiltered(unix.AF_INET6, &netlink.Route{Protocol: unix.RTPROT_RA}, netlink.RT_FILTER_DST|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return nil, fmt.Errorf("look for routers' routes: %w", err)
	}
	var out []string
	for _, r := range routes {
		indexes := []int{r.LinkIndex}
		for _, hop := range r.MultiPath {
			indexes = append(indexes, hop.LinkIndex)
		}
		for _, i := range indexes {
			// A device that went away meanwhile has no route to lose.
			if link, err := h.LinkByIndex(i); err == nil {
				out = append(out, link.Attrs().Name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
