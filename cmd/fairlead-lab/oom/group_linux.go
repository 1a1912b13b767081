// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package oom

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mounted is where distributions mount the hierarchies of control groups.
const mounted = "/sys/fs/cgroup"

// files are the names of a memory control group's files, which differ by version:
// Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of the kernel.
type files struct{ limit, noLimit, usage, events, swap, noSwap string }

// Group is a memory control group of either version. Its methods are safe for concurrent
// use.
type Group struct {
	dir   string
	files files
}

// New makes a group below the root of the hierarchy. It belongs to nobody else, so name
// has to be unique. The error says why this machine does not permit that.
func New(name string) (*Group, error) {
	g, err := at(mounted)
	if err != nil {
		return nil, err
	}
	g.dir = filepath.Join(g.dir, name)
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make control group: %w", err)
	}
	return g, nil
}

// at returns the root group of the hierarchy that controls memory, of cgroup v2 or v1.
func at(mounted string) (*Group, error) {
	v1 := filepath.Join(mounted, "memory")
	f := files{"memory.limit_in_bytes", "-1", "memory.usage_in_bytes", "memory.oom_control", "memory.swappiness", "0"}
	if _, err := os.Stat(filepath.Join(v1, f.limit)); err == nil {
		return &Group{v1, f}, nil
	}
	passed, err := os.ReadFile(filepath.Join(mounted, "cgroup.subtree_control"))
	if err != nil {
		return nil, fmt.Errorf("find control groups: %w", err)
	}
	if !slices.Contains(strings.Fields(string(passed)), "memory") {
		return nil, fmt.Errorf("find control groups: %s does not pass the controller memory on to its groups", mounted)
	}
	return &Group{mounted, files{"memory.max", "max", "memory.current", "memory.events.local", "memory.swap.max", "0"}}, nil
}

// Add moves a process into the group.
func (g *Group) Add(pid int) error { return g.write("cgroup.procs", strconv.Itoa(pid)) }

// Limit lets the group use so many bytes more than it does now, and no swap.
func (g *Group) Limit(more int64) error {
	used, err := g.number(g.files.usage, "")
	if err != nil {
		return err
	}
	if err := g.write(g.files.swap, g.files.noSwap); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // a kernel without swap has no such file
	}
	return g.write(g.files.limit, strconv.FormatInt(used+more, 10))
}

// Unlimit takes the limit away.
func (g *Group) Unlimit() error { return g.write(g.files.limit, g.files.noLimit) }

// Kills returns how many processes of the group the kernel has ended for want of memory.
func (g *Group) Kills() (int64, error) { return g.number(g.files.events, "oom_kill") }

// Remove removes the group, whose processes have ended. The kernel takes them out of it a
// moment after that.
func (g *Group) Remove() error {
	var err error
	for range 100 {
		if err = os.Remove(g.dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		<-time.After(10 * time.Millisecond)
	}
	return fmt.Errorf("remove control group: %w", err)
}

// Sweep removes groups whose names begin with prefix, after those that made them.
func Sweep(prefix string) error {
	root, err := at(mounted)
	if err != nil {
		return nil //nolint:nilerr // there are none
	}
	dirs, err := filepath.Glob(filepath.Join(root.dir, prefix+"*"))
	for _, dir := range dirs {
		err = errors.Join(err, (&Group{dir: dir}).Remove())
	}
	return err
}

func (g *Group) write(name, text string) error {
	// Without O_CREATE, which these file systems refuse with another error.
	f, err := os.OpenFile(filepath.Join(g.dir, name), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("control group: %w", err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("control group: %w", err)
	}
	return nil
}

// number reads a file that is a number, or the number behind a key.
func (g *Group) number(name, key string) (int64, error) {
	f, err := os.Open(filepath.Join(g.dir, name))
	if err != nil {
		return 0, fmt.Errorf("control group: %w", err)
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if key != "" && (len(words) != 2 || words[0] != key) || len(words) == 0 {
			continue
		}
		return strconv.ParseInt(words[len(words)-1], 10, 64)
	}
	return 0, fmt.Errorf("control group: %s has no %s", f.Name(), key)
}
