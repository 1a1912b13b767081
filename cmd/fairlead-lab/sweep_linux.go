// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"fairlead/cmd/fairlead-lab/oom"
)

// labDirPattern is what the directories of labs are called.
const labDirPattern = "fairlead-lab-*"

// holdLabDir marks a lab's directory as in use until the file is closed or this
// process ends, however that happens.
func holdLabDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("hold directory of the lab: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("hold %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// sweepLabDirs removes what labs left in parent that were killed with SIGKILL;
// the kernel took away everything else. Directories of other users, in use or
// younger than age, which may not be held yet, stay.
func sweepLabDirs(parent string, age time.Duration) error {
	dirs, err := filepath.Glob(filepath.Join(parent, labDirPattern))
	if err != nil {
		return fmt.Errorf("look for old labs: %w", err)
	}
	var errs []error
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < age {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
			continue
		}
		if f, err := holdLabDir(dir); err == nil {
			errs = append(errs, os.RemoveAll(dir), oom.Sweep(filepath.Base(dir)+"-"), f.Close())
		}
	}
	return errors.Join(errs...)
}
