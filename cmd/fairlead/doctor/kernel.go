// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/node"
	"fairlead/cmd/fairlead/options"
	"fairlead/conntrack"
	"fairlead/internal/leftovers"
	"fairlead/nat"
	nftables "fairlead/nat/kernel"
	"fairlead/nat/ruleset"
)

// capability says what a check lacks.
const capability = "run the command as root, or in the agent's container"

// checkKernel has the kernel check each feature of nftables that the table needs.
func (d *doctor) checkKernel(ctx context.Context) {
	d.judgeKernel(ctx, ruleset.Features())
}

func (d *doctor) judgeKernel(ctx context.Context, features []ruleset.Feature) {
	const check = "kernel"
	missing, err := nftables.CheckFeatures(ctx, nil, features)
	switch {
	case errors.Is(err, nat.ErrPermission):
		d.unknown(check, "features of nftables: %v: %s", err, capability)
	case errors.Is(err, unix.EPROTONOSUPPORT):
		d.report.Add(check, finding.Error, []string{"install a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET"}, "Linux %s has no nf_tables: %v", options.KernelRelease(), err)
	case err != nil:
		d.unknown(check, "features of nftables: %v", err)
	}
	for _, m := range missing {
		remedy := []string{fmt.Sprintf("install a kernel of release %s or later with %s", m.Since, m.Option)}
		if m.Module != "nf_tables" {
			remedy = append([]string{"modprobe " + m.Module + ", and list the module in /etc/modules-load.d/fairlead.conf"}, remedy...)
		}
		d.report.Add(check, finding.Error, remedy, "Linux %s refuses the %s (module %s), needed for %s: %v", options.KernelRelease(), m.Name, m.Module, m.Use, m.Err)
	}
	if err == nil && len(missing) == 0 {
		d.ok(check, "Linux %s has all %d features of nftables that the table needs", options.KernelRelease(), len(features))
	}
}

// checkTable says whether an agent runs and whether its table is there.
func (d *doctor) checkTable(ctx context.Context) {
	const check = "agent"
	pid, runs, err := node.FindOwner(ctx)
	if err != nil {
		d.unknown(check, "whether an agent runs: %v", err)
		return
	}
	table, tableErr := inspect.LoadTable(ctx)
	switch {
	case errors.Is(tableErr, nat.ErrPermission):
		d.unknown(check, "the table: %v: %s", tableErr, capability)
	case !runs && tableErr != nil:
		d.ok(check, "no agent runs in this network namespace, and it has no table of fairlead")
	case !runs:
		d.report.Add(check, finding.Error, []string{"read the log of the agent's pod on this node and why it ended: kubectl -n kube-system logs ds/fairlead --previous"},
			"no agent runs in this network namespace, so its table is no longer kept up to date")
	case tableErr != nil:
		d.report.Add(check, finding.Error, []string{"read the agent's log"}, "the agent runs (process %s) and has made no table: %v", process(pid), tableErr)
	default:
		d.ok(check, "the agent runs (process %s) and its table has %d frontends", process(pid), len(table.Frontends("")))
	}
	pids, err := leftovers.Processes(func(argv []string) bool {
		return filepath.Base(argv[0]) == "fairlead" && len(argv) > 1 && argv[1] == "run"
	})
	pids = slices.DeleteFunc(pids, func(pid int) bool { // it may be in another namespace
		_, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
		return err != nil
	})
	if err == nil && len(pids) > 1 {
		d.report.Add(check, finding.Warning, []string{"stop all but one, for example by removing the second DaemonSet or unit that starts it"},
			"%d agents run in this network namespace (processes %s): one works, the others wait until it ends", len(pids), join(pids))
	}
}

func process(pid int32) string {
	if pid == 0 {
		return "in another PID namespace"
	}
	return fmt.Sprint(pid)
}

func join(pids []int) string {
	some, more := first(pids)
	text := strings.Trim(fmt.Sprint(some), "[]")
	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Above fillWarn percent new connections will soon fail, and above fillError at once.
const fillWarn, fillError = 80, 95

// checkConntrack compares the number of flows with its limit.
func (d *doctor) checkConntrack(context.Context) {
	const check = "conntrack"
	f, err := conntrack.ReadFill(nil)
	if err != nil {
		d.unknown(check, "%v", err)
		return
	}
	d.judgeConntrack(f)
}

func (d *doctor) judgeConntrack(f conntrack.Fill) {
	const check = "conntrack"
	if f.Limit == 0 {
		d.ok(check, "%d flows are tracked, and the kernel does not say how many may be", f.Entries)
		return
	}
	percent := 100 * uint64(f.Entries) / uint64(f.Limit)
	raise := []string{fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", 2*uint64(f.Limit)), "for good: --conntrack-min or --conntrack-max-per-core of the agent"}
	remedy, severity := raise, finding.OK
	switch {
	case percent >= fillError:
		severity = finding.Error
	case percent >= fillWarn:
		severity = finding.Warning
	default:
		remedy = nil
	}
	lost := ""
	if f.Dropped > 0 {
		lost = fmt.Sprintf("; since the node started, %d packets were dropped because the table had no room", f.Dropped)
		severity = max(severity, finding.Warning)
		if remedy == nil {
			remedy = raise
		}
	}
	d.report.Add(check, severity, remedy, "%d of at most %d flows are tracked (%d %%)%s", f.Entries, f.Limit, percent, lost)
}

// hasModule reports whether the running kernel has a module, loaded, built in or on
// disk. known is false if the machine does not say, as in a container.
func hasModule(root, name string) (has, known bool) {
	if _, err := os.Stat(filepath.Join(root, "sys/module", name)); err == nil {
		return true, true
	}
	for _, list := range []string{"modules.builtin", "modules.dep"} {
		text, err := os.ReadFile(filepath.Join(root, "lib/modules", options.KernelRelease(), list))
		if err != nil {
			continue
		}
		known = true
		for line := range strings.Lines(string(text)) {
			file, _, _ := strings.Cut(strings.TrimSpace(line), ":")
			base, _, _ := strings.Cut(filepath.Base(file), ".")
			if strings.ReplaceAll(base, "-", "_") == name {
				return true, true
			}
		}
	}
	return false, known
}
