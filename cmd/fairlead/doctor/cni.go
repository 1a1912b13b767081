// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/internal/cni"
)

// checkCNI checks that the runtime uses the configuration of fairlead, and that it can
// be written.
func (d *doctor) checkCNI(context.Context) {
	const check = "cni"
	cfg := &d.Config.Node.CNI
	if cfg.ConfDir == "" {
		d.ok(check, "the flags leave the CNI configuration to another program")
		return
	}
	before := len(d.report.Findings)
	file := filepath.Join(cfg.ConfDir, cni.DefaultFile)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		d.report.Add(check, finding.Warning, []string{"start the agent; if it runs, read its log: it writes the file when the pods' network is ready"},
			"%s is missing, so new pods get no network from fairlead", file)
	} else if err != nil {
		d.unknown(check, "%v", err)
	}
	rivals, err := cni.Rivals(file)
	if err != nil {
		d.unknown(check, "%v", err)
	}
	for _, r := range rivals {
		severity := finding.Error
		evidence, remedy, _ := strings.Cut(r.String(), "; if nobody needs it: ")
		d.report.Add(check, severity, []string{"if nobody needs it: " + remedy}, "%s", evidence)
	}
	plugins := cni.Config{Plugin: cni.Plugin(cfg.Plugin)}.Plugins()
	if missing := cni.Missing(cfg.BinDir, plugins); len(missing) > 0 {
		d.report.Add(check, finding.Error, []string{"install the package of CNI plugins (containernetworking-plugins), or start the agent with --cni-plugins-from"},
			"%s has no CNI plugin %s, so no pod starts", cfg.BinDir, strings.Join(missing, ", "))
	}
	d.checkDir("--cni-conf-dir", cfg.ConfDir)
	d.checkDir("--cni-data-dir", cfg.DataDir)
	if len(d.report.Findings) == before {
		d.ok(check, "the runtime uses %s, and its plugins are there", file)
	}
}

// checkDir checks that files can be made in a directory, without making one. The
// directory itself may be missing: who needs it makes it.
func (d *doctor) checkDir(flag, dir string) {
	const check = "cni"
	for {
		_, err := os.Stat(dir)
		if !errors.Is(err, fs.ErrNotExist) || dir == "/" || dir == "" || dir == "." {
			break
		}
		dir = filepath.Dir(dir)
	}
	if dir == "" {
		return
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		d.unknown(check, "%s: %s: %v", flag, dir, err)
		return
	}
	switch err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); {
	case errors.Is(err, unix.EROFS):
		d.report.Add(check, finding.Error, []string{"mount " + dir + " read-write in the container, or name another directory with " + flag}, "%s is on a read-only file system", dir)
	case err != nil:
		d.report.Add(check, finding.Error, []string{"run the agent as root, or let its user write to " + dir}, "%s cannot be written: %v", dir, err)
	case disk.Blocks > 0 && disk.Bavail == 0:
		d.report.Add(check, finding.Error, []string{"free space on the file system of " + dir}, "the file system of %s has no free space", dir)
	case disk.Files > 0 && disk.Ffree == 0:
		d.report.Add(check, finding.Error, []string{"remove files from the file system of " + dir}, "the file system of %s has no free inode", dir)
	}
}
