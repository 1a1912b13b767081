// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/cmd/fairlead/node"
	"fairlead/internal/leftovers"
	"fairlead/overlay"
)

// program is another program that may be in the way.
type program struct {
	names  []string // of its file
	check  func(root string) (evidence string, remedy []string)
	strict bool // in the way whatever its configuration is
}

// checkPrograms looks for running programs that do the work of fairlead, or undo it.
func (d *doctor) checkPrograms(context.Context) {
	const check = "programs"
	seen := false
	for _, p := range d.programs() {
		pids, err := leftovers.Processes(func(argv []string) bool { return p.is(argv) })
		if err != nil {
			d.unknown(check, "running programs: %v", err)
			return
		}
		for _, pid := range pids[:min(len(pids), 1)] {
			evidence, remedy := p.check(fmt.Sprintf("/proc/%d/root", pid))
			if evidence == "" {
				continue
			}
			seen = true
			severity := finding.Warning
			if p.strict {
				severity = finding.Error
			}
			d.report.Add(check, severity, remedy, "%s runs (process %d): %s", p.names[0], pid, evidence)
		}
	}
	if !hostPID() {
		d.unknown(check, "programs outside of this container: run the command on the node, or with hostPID, to see them")
	} else if !seen {
		d.ok(check, "no program runs here that does the work of fairlead or undoes it")
	}
}

// is reports whether a command line starts the program, by itself, by an interpreter, or
// as one of those in one binary.
func (p *program) is(argv []string) bool {
	for _, word := range argv[:min(len(argv), 4)] {
		if slices.Contains(p.names, filepath.Base(word)) {
			return true
		}
		if word != argv[0] && !strings.HasPrefix(word, "-") {
			break // the script or subcommand
		}
	}
	return false
}

// hostPID reports whether processes of the whole node are visible: kthreadd is.
func hostPID() bool {
	name, err := os.ReadFile("/proc/2/comm")
	return err == nil && strings.TrimSpace(string(name)) == "kthreadd"
}

func (d *doctor) programs() []program {
	says := func(evidence string, remedy ...string) func(string) (string, []string) {
		return func(string) (string, []string) { return evidence, remedy }
	}
	list := []program{
		{names: []string{"kube-proxy"}, strict: true, check: says("both translate Services, and the table of either hides mistakes of the other",
			"kubectl -n kube-system delete daemonset kube-proxy", "then: fairlead cleanup --of kube-proxy")},
		{names: []string{"kube-router"}, strict: true, check: says("it routes pods and translates Services, too", "start it with --run-service-proxy=false --run-router=false, or remove it")},
		{names: []string{"cilium-agent"}, strict: true, check: says("it connects pods and translates Services in front of nftables", "remove Cilium, or fairlead")},
		{names: []string{"NetworkManager"}, check: networkManager},
		{names: []string{"systemd-networkd"}, check: networkd},
	}
	if o := d.Config.Proxier.Overlay; o != nil && o.Mode != overlay.None {
		list = append(list,
			program{names: []string{"flanneld"}, strict: true, check: says("both keep the same routes and devices",
				"kubectl -n kube-flannel delete daemonset kube-flannel-ds", "then: fairlead cleanup --of flannel")},
			program{names: []string{"calico-node", "calico-felix"}, strict: true, check: says("it routes pods, too", "remove Calico, or start the agent without --overlay and --cni-conf-dir")})
	}
	return list
}

// networkManager reports a configuration that takes fairlead's devices.
func networkManager(root string) (string, []string) {
	const file = "/etc/NetworkManager/conf.d/fairlead.conf"
	lines, err := configOf(root, "etc/NetworkManager/NetworkManager.conf", "etc/NetworkManager/conf.d/*.conf", "usr/lib/NetworkManager/conf.d/*.conf", "run/NetworkManager/conf.d/*.conf")
	if err != nil {
		return fmt.Sprintf("whether it leaves fairlead's devices alone is not known: %v", err), nil
	}
	for _, l := range lines {
		if key, value, ok := strings.Cut(l, "="); ok && strings.TrimRight(strings.TrimSpace(key), "+") == "unmanaged-devices" && strings.Contains(value, "interface-name:fairlead") {
			return "", nil
		}
	}
	return "nothing in its configuration makes it leave fairlead's devices alone, so it may change or delete them", []string{
		"write to " + file + ": [keyfile]\\nunmanaged-devices+=interface-name:fairlead*;interface-name:veth*;interface-name:cni0",
		"nmcli general reload",
	}
}

// networkd reports a configuration that deletes routes of other programs.
func networkd(root string) (string, []string) {
	const file = "/etc/systemd/networkd.conf.d/fairlead.conf"
	lines, err := configOf(root, "etc/systemd/networkd.conf", "usr/lib/systemd/networkd.conf.d/*.conf", "run/systemd/networkd.conf.d/*.conf", "etc/systemd/networkd.conf.d/*.conf")
	if err != nil {
		return fmt.Sprintf("whether it leaves fairlead's routes alone is not known: %v", err), nil
	}
	foreign := "yes"
	for _, l := range lines {
		if key, value, ok := strings.Cut(l, "="); ok && strings.TrimSpace(key) == "ManageForeignRoutes" {
			foreign = strings.ToLower(strings.TrimSpace(value))
		}
	}
	if slices.Contains([]string{"no", "false", "off", "0"}, foreign) {
		return "", nil
	}
	return "its setting ManageForeignRoutes is " + foreign + ", so it deletes the routes of pods when it restarts", []string{
		"write to " + file + ": [Network]\\nManageForeignRoutes=no\\nManageForeignRoutingPolicyRules=no",
		"systemctl restart systemd-networkd",
	}
}

// maxConfig bounds what is read of the configuration of another program, in bytes.
const maxConfig = 1 << 20

// configOf returns the lines of the files that match, in the order in which they count,
// below the root directory of a process, which may have another one than the caller.
func configOf(root string, patterns ...string) ([]string, error) {
	if _, err := os.Stat(root + "/"); err != nil {
		return nil, fmt.Errorf("read its files: %w", err)
	}
	var lines []string
	size := 0
	for _, p := range patterns {
		files, err := filepath.Glob(filepath.Join(root, p))
		if err != nil {
			return nil, err
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("read its files: %w", err)
			}
			if size += len(text); size > maxConfig {
				return nil, fmt.Errorf("its files have more than %d bytes", maxConfig)
			}
			for scan := bufio.NewScanner(strings.NewReader(string(text))); scan.Scan(); {
				if l := strings.TrimSpace(scan.Text()); l != "" && l[0] != '#' && l[0] != ';' {
					lines = append(lines, l)
				}
			}
		}
	}
	return lines, nil
}

// checkLeftovers looks for what programs left that no longer run.
func (d *doctor) checkLeftovers(context.Context) {
	const check = "leftovers"
	opts := node.LeftoverOptions()
	opts.KeepBridge = d.bridge()
	if dir := d.Config.Node.CNI.ConfDir; dir != "" {
		opts.CNIDir = dir
	}
	state, err := leftovers.Look(nil, opts)
	if err != nil {
		d.unknown(check, "what other programs left: %v", err)
	}
	found := false
	for _, o := range []leftovers.Owner{leftovers.KubeProxy, leftovers.Flannel} {
		if o == leftovers.Flannel && (d.Config.Proxier.FlannelCompat || !d.Config.Node.Active) {
			continue // it is in use
		}
		if pids, err := leftovers.Running(o); err != nil || len(pids) > 0 {
			continue // see checkPrograms
		}
		plan := leftovers.NewPlan(opts, []leftovers.Owner{o}, state)
		if plan.Empty() {
			continue
		}
		found = true
		var texts []string
		some, more := first(plan.Removals)
		for i := range some {
			texts = append(texts, some[i].String())
		}
		for i := range plan.Left {
			texts = append(texts, plan.Left[i].Object)
		}
		if more > 0 {
			texts = append(texts, fmt.Sprintf("%d more", more))
		}
		d.report.Add(check, finding.Warning, []string{"fairlead cleanup --of " + string(o)}, "%s left %s", o, strings.Join(texts, ", "))
	}
	if err == nil && !found {
		d.ok(check, "kube-proxy and flannel left nothing")
	}
}
