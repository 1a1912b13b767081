// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/chaos"
	"fairlead/internal/cni"
)

// diskReturns is within which time the conflist is there after its disk has room again.
const diskReturns = 2 * time.Second

// disk takes the conflist away and makes its directory refuse another one, or gives the
// directory back and waits for the file.
func (r *runner) disk(ctx context.Context, s chaos.Step) (string, error) {
	r.mu.Lock()
	if s.Begin {
		r.disks[s.Node]++
	}
	r.mu.Unlock()
	dir := r.nodeOf(s).CNIConfDir()
	conflist, filler := filepath.Join(dir, cni.DefaultFile), filepath.Join(dir, "filler")
	switch {
	case s.Begin && s.Kind == chaos.DiskFull:
		return "", errors.Join(fill(filler), remove(conflist), fill(filler))
	case s.Begin:
		return "", errors.Join(remove(conflist), unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "size="+diskSize))
	case s.Kind == chaos.DiskFull:
		if err := remove(filler); err != nil {
			return "", err
		}
	default:
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size="+diskSize); err != nil {
			return "", fmt.Errorf("remount %s: %w", dir, err)
		}
	}
	r.awaitConflist(ctx, s, conflist)
	return "", nil
}

// awaitConflist checks in the background that the file comes back in time, unless the
// agent is away. It stops when the next event takes the file away.
func (r *runner) awaitConflist(ctx context.Context, s chaos.Step, conflist string) {
	free := r.now()
	begun := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.disks[s.Node]
	}
	before := begun()
	r.waiting.Go(func() {
		gone := false
		err := world.Poll(ctx, r.giveUp, func() bool {
			_, err := os.Stat(conflist)
			gone = err != nil && begun() > before
			return err == nil || gone
		}, "%s is not back", conflist)
		if gone {
			r.awaited(s, free)
			return
		}
		took := r.now() - free
		r.mu.Lock()
		late := r.history.Fair(free, r.now()) > free+diskReturns && !r.history.Late(free, r.now())
		r.tally.conflist = max(r.tally.conflist, took)
		r.mu.Unlock()
		if err != nil || late {
			r.fail("%s: the conflist is back %s after its disk had room: %v", s, took.Round(time.Millisecond), err)
		}
	})
}

// awaited judges a file that had not come back when the next event began: nothing but an
// absence of the agent permits more than diskReturns.
func (r *runner) awaited(s chaos.Step, free time.Duration) {
	now := r.now()
	r.mu.Lock()
	late := r.history.Fair(free, now) > free+diskReturns && !r.history.Late(free, now)
	r.mu.Unlock()
	if late {
		r.fail("%s: the conflist was not back %s after its disk had room", s, (now - free).Round(time.Millisecond))
	}
}

// fill writes zeros until the disk is full.
func fill(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("fill disk: %w", err)
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		return errors.Join(fmt.Errorf("fill disk: %w", err), f.Close())
	}
	return f.Close()
}

// remove deletes a file, if it is there.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
